"""`diffsound evaluate`: make clips, or read them, score them in every way there is, and check the scores themselves."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from omegaconf import DictConfig

from diffsound.captioner import Captioner
from diffsound.checkpoint import fingerprint
from diffsound.data import manifest
from diffsound.evaluation.calibration import noise, rebuilt, silence
from diffsound.evaluation.checks import Check, check_clips, require_passed
from diffsound.evaluation.clips import SUFFIXES, ClipSet
from diffsound.evaluation.extractors import Extractor
from diffsound.evaluation.extractors.ast import ASTExtractor
from diffsound.evaluation.extractors.clap import CLAPExtractor
from diffsound.evaluation.extractors.inception import MelceptionExtractor
from diffsound.evaluation.extractors.panns import PANNsExtractor
from diffsound.evaluation.extractors.tagger import TaggerExtractor
from diffsound.evaluation.judge import load_judge
from diffsound.evaluation.protocol import protocol, write_markdown
from diffsound.evaluation.results import Results, table, write_examples
from diffsound.evaluation.sampling import make_clips, read_sweep, sweep
from diffsound.evaluation.scoring import (
    BY_SCENES,
    OF_TRUE,
    REPEATS,
    score_captions,
    score_distances,
    score_scenes,
    untold,
)
from diffsound.evaluation.sentences import PARAPHRASES, read_sentences, score_sentences
from diffsound.evaluation.standard import FRECHET_REPEATS
from diffsound.evaluation.subjects import Subjects
from diffsound.evaluation.tagger import EventTagger
from diffsound.evaluation.training_copies import COPIES, check_training_copies
from diffsound.generate import at_least
from diffsound.recipe import build_part, changed_recipe
from diffsound.scenes import SceneDataModule, read
from diffsound.text_to_sound import checked_device


def main(args: list[str]) -> None:
    """Score a system, or clips that it made. Clips that are there already are not made again.

    Scores go to OUT/scores.json, what they depend on to OUT/protocol.md, a page with everything to
    OUT/report/index.html, the clips to OUT/clips.
    """
    parser = argparse.ArgumentParser(
        prog="diffsound evaluate", description=main.__doc__.splitlines()[0],
        epilog="Other options, such as --runs out/demo-train/runs or --config FILE, change the recipe first.")
    parser.add_argument("--recipe", type=Path, help="names the system and the real clips of its test split")
    parser.add_argument("--clips", type=Path, help="folder of clips to score, with sidecars; none are made then")
    parser.add_argument("--reference", type=Path, help="folder or manifest of real clips, in place of the recipe's")
    parser.add_argument("--out", type=Path, default=Path("out/evaluation"), help="folder of all results")
    parser.add_argument("--num-clips", type=int, default=256, help="made of the first so many test clips")
    parser.add_argument("--training-clips", type=int, default=2000,
                        help="of the recipe's, looked at for copies among the clips made; 0 leaves that out")
    parser.add_argument("--seed", type=int, default=0, help="of the clips made")
    parser.add_argument("--best-of", type=at_least(1), default=1, metavar="N",
                        help="takes made of every test clip, of which the package's judge chooses as `generate "
                             "--best-of` does; needs another --judge to score them")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu",
                        help="cpu, cuda, cuda:1 (default: cuda if there is one, else cpu)")
    parser.add_argument("--judge", type=Path, help="checkpoint of stage tagger; by default the package's own")
    parser.add_argument("--captioner", type=Path, help="checkpoint; by default that of the recipe, if it is trained")
    parser.add_argument("--ast", type=Path, help="folder of an Audio Spectrogram Transformer, for FAD, FD, KL, ...")
    parser.add_argument("--clap", type=Path, help="folder of a CLAP model, for the CLAP score too")
    parser.add_argument("--panns", type=Path, help="checkpoint of a PANNs Cnn14")
    parser.add_argument("--melception", type=Path, help="checkpoint of the paper's Inception of mels")
    parser.add_argument("--melception-table", type=Path, help="its means and deviations of the bands")
    parser.add_argument("--spice", action="store_true", help="score SPICE too, whose models must be there")
    parser.add_argument("--sentences", type=Path, metavar="FILE",
                        help="score clips of held-out sentences too; 'paraphrases' are the package's own")
    parser.add_argument("--reference-hash", help="what the reference must be, as an earlier protocol.md tells it")
    parser.add_argument("--sweep", action="append", default=[], metavar="KEY=VALUE,VALUE",
                        help="of the sampler, such as guidance_scale=1,2,3 or num_steps=5,10,20; may be given again")
    parser.add_argument("--sweep-clips", type=int, default=64, help="made for each value")
    options, extra = parser.parse_known_args(args)
    if options.recipe is None and (options.clips is None or options.reference is None):
        parser.error("give --recipe, or --clips with --reference")
    checked_device(options.device)
    recipe = changed_recipe(options.recipe, extra) if options.recipe else None
    Evaluation(options, recipe).run()


class Evaluation:
    """One run of the command: what is made and scored, in the order of the report."""

    def __init__(self, options: argparse.Namespace, recipe: DictConfig | None) -> None:
        self.options, self.recipe, self.out = options, recipe, options.out
        self.name = str(recipe.name) if recipe is not None else options.clips.name
        self.results = Results(self.name)

    def run(self) -> None:
        """Everything. The checks come first among the results: where one fails there are no scores."""
        options, results = self.options, self.results
        judge = load_judge(options.judge).to(options.device)
        if options.best_of > 1:
            self.check_choice(judge)
        self.model = None
        if options.clips is None:
            self.model = build_part(self.recipe, "text_to_sound").to(options.device)
        sentences = self.sentences()
        sweeps = [read_sweep(text, self.model) for text in options.sweep]
        made, subjects = self.clips()
        for of_earlier_run in ("scores.json", "report/index.html"):  # else they would stand where this one fails
            (self.out / of_earlier_run).unlink(missing_ok=True)
        rows = {"made": made, **self.rows(made, subjects)}
        copies = self.training_copies(made, rows.get("rebuilt", subjects.real), judge)
        self.check_and_measure(self.distant_rows(rows, subjects), subjects, judge, copies)
        self.hear_scenes(rows, subjects, judge)
        self.read_back(rows, subjects)
        if sentences is not None:
            score_sentences(results, self.model, *sentences, judge, self.out, options.seed)
        if sweeps:
            results.content["sweeps"] = [sweep(self.model, *one, subjects, options.sweep_clips, judge, options.seed)
                                         for one in sweeps]
        page = results.write(self.out, len(made))
        print("\n".join(["", *table(results.scores),
                         *(f"not scored: {one['name']}: {one['why']}" for one in results.skipped),
                         "", f"Scores are in {self.out / 'scores.json'}, what they depend on in "
                             f"{self.out / 'protocol.md'}. Open {page} in a browser."]))

    def check_choice(self, judge: EventTagger) -> None:
        """Raise ValueError if nothing can be chosen, or the `judge` who scores would choose what it likes."""
        if self.options.clips is not None:
            raise ValueError("--best-of makes clips: leave --clips out")
        if fingerprint(judge) == fingerprint(load_judge()):
            raise ValueError("--best-of chooses takes by the package's judge, which must not score them too: give "
                             "--judge, the checkpoint of another one, such as of make train-tagger "
                             "RECIPE=recipes/judge.yaml ARGS='--seed_everything 1 --audio.init_args.seed 1'")

    def sentences(self) -> tuple[Path, SceneDataModule] | None:
        """The file of --sentences, and the scenes that the system knows."""
        path = self.options.sentences
        if path is None:
            return None
        if self.model is None:
            raise ValueError("--sentences makes clips: leave --clips out")
        path = PARAPHRASES if str(path) == PARAPHRASES.stem else path
        read_sentences(path)  # a mistake in it is told before any clip is made
        data = build_part(self.recipe, "audio")
        if not isinstance(data, SceneDataModule):
            raise ValueError(f"--sentences ask for scenes, but audio.class_path is {type(data).__name__}: leave it out")
        return path, data

    def clips(self) -> tuple[ClipSet, Subjects]:
        """What is scored, and what was asked for."""
        options = self.options
        data = None
        if options.reference is None:
            data = Subjects.of_data(build_part(self.recipe, "audio"), options.num_clips, options.seed)
            if not data.structures and (options.sweep or options.best_of > 1):
                flag = "--sweep" if options.sweep else "--best-of"
                raise ValueError(f"{flag} goes by what a judge hears, which needs scenes: leave it out")
        if options.clips is None:
            if options.reference is not None:
                raise ValueError("--reference is for clips that are there already: give --clips too, or neither")
            return make_clips(self.model, data.real, self.out / "clips", options.seed, options.best_of), data
        made = ClipSet.from_folder(options.clips, name="made")
        if len(made) < 2:
            raise ValueError(f"{options.clips} holds one clip alone: a distance between sets, or an interval, needs at "
                             "least 2")
        if data is not None:
            real, split = data.real, data.split
        elif options.reference.is_dir():
            real, split = ClipSet.from_folder(options.reference, made.sample_rate, "reference"), ""
        else:
            split = "test" if any(clip.split == "test" for clip in manifest.read(options.reference)) else ""
            real = ClipSet.from_manifest(options.reference, split or None, made.sample_rate, "reference")
        return made, Subjects.of_texts(made, real, options.seed, split)

    def rows(self, made: ClipSet, subjects: Subjects) -> dict[str, ClipSet]:
        """Sounds of which it is known what they deserve."""
        rows = {}
        if subjects.true is not None:
            rows["ceiling"] = subjects.true
            if self.model is not None:
                rows["rebuilt"] = rebuilt(subjects.true, self.model.codec, self.model.vocoder)
        return rows | {"silence": silence(made), "noise": noise(made, self.options.seed)}

    def distant_rows(self, rows: dict[str, ClipSet], subjects: Subjects) -> dict[str, ClipSet]:
        """The same for distances to the reference, which would be 0 from real clips that are the reference."""
        if subjects.true is subjects.others:
            return rows
        rows = {row: clips for row, clips in rows.items() if row not in OF_TRUE}
        if subjects.others is not None:
            rows["ceiling"] = subjects.others
            if self.model is not None:
                rows["rebuilt"] = rebuilt(subjects.others, self.model.codec, self.model.vocoder)
        return rows

    def training_copies(self, made: ClipSet, true: ClipSet, judge: EventTagger) -> Check | str:
        """Whether clips were copied from the recipe's training clips, more often than `true` ones look so; or why that
        cannot be told."""
        most, codec = self.options.training_clips, self.model.codec if self.model is not None else None
        if self.recipe is None:
            return "no training clips at hand: give --recipe, whose audio has them"
        if most < 1:
            return f"left out by --training-clips {most}"
        log_mel = judge.log_mel if codec is None else codec.log_mel
        try:
            return check_training_copies(made, true, build_part(self.recipe, "audio"), most, log_mel, codec)
        except ValueError as error:
            return str(error)

    def check_and_measure(self, rows: dict[str, ClipSet], subjects: Subjects, judge: EventTagger, copies: Check | str
                          ) -> None:
        """Standard scores by every extractor there is. All checks run before any failure is told."""
        options, made, real = self.options, rows["made"], subjects.real
        checks, used = check_clips(made, real, options.reference_hash), []
        if isinstance(copies, Check):
            checks.append(copies)
        else:
            self.results.skip(COPIES, copies, made)
        for name, build in self.extractors(judge).items():
            try:
                used.append(build())
            except OSError as error:
                self.results.skip(f"scores by {name}", str(error), made)
                continue
            checks += score_distances(self.results, rows, subjects, used[-1], options.seed)
        require_passed(checks)
        self.results.content["checks"] = [check.as_dict() for check in checks]
        notes = {} if subjects.structures else {"tagger": BY_SCENES}
        card = protocol(made, real, used, seed=0, repeats=REPEATS, split=subjects.split,
                        combinations=subjects.combinations or (), notes=notes, frechet_repeats=FRECHET_REPEATS,
                        inception_splits=10, copies_of_training_clips=copies.detail if isinstance(copies, Check)
                        else f"not looked for: {copies}", **({"best_of": options.best_of} if self.model else {}))
        self.results.content["protocol"] = card | (
            {"sampler": self.model.sampler.spec, "parts": self.model.fingerprints} if self.model is not None else {})
        write_markdown(card, self.out / "protocol.md")

    def extractors(self, judge: EventTagger) -> dict[str, Callable[[], Extractor]]:
        """By the name they are skipped by. The judge is always there."""
        options = self.options
        return {"the judge": lambda: TaggerExtractor(judge, device=options.device),
                "AST": lambda: ASTExtractor(_given(options.ast, "--ast FOLDER"), device=options.device),
                "CLAP": lambda: CLAPExtractor(_given(options.clap, "--clap FOLDER"), device=options.device),
                "PANNs": lambda: PANNsExtractor(_given(options.panns, "--panns FILE"), device=options.device),
                "Melception": lambda: MelceptionExtractor(
                    _given(options.melception, "--melception FILE"),
                    _given(options.melception_table, "--melception-table FILE"), device=options.device)}

    def hear_scenes(self, rows: dict[str, ClipSet], subjects: Subjects, judge: EventTagger) -> None:
        """What the judge hears, where all texts are captions of scenes, with the worst and the best clips."""
        made = rows["made"]
        if not subjects.structures:
            others = [text for text in made.texts if read(text, "wide") is None]
            self.results.skip("scores of scenes", f"{len(others)} of {len(made)} texts are no captions of scenes, such "
                              f"as {(others or [''])[0]!r}", made)
            return
        heard, scores = score_scenes(self.results, rows, subjects, judge, self.options.seed)
        folder = self.options.clips or self.out / "clips"
        files = {file.stem: file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES}
        self.results.content["examples"] = write_examples(self.out / "report", files, made, subjects.structures, heard,
                                                          scores, judge)

    def read_back(self, rows: dict[str, ClipSet], subjects: Subjects) -> None:
        """What a captioner says, if there is one."""
        made, path = rows["made"], self.options.captioner
        if path is None and self.recipe is not None:
            path = Path(str(self.recipe.get("runs", "runs")), self.name, "captioner", "last.ckpt")
            path = path if path.is_file() else None
        why = "no captioner: make train-captioner, or give --captioner FILE" if path is None \
            else untold(made.ids, map("".join, subjects.captions))
        if why:
            self.results.skip("audio-caption scores", why, made)
            return
        captioner = Captioner.from_checkpoint(path).to(self.options.device)
        self.results.content["protocol"]["captioner"] = fingerprint(captioner)
        said = score_captions(self.results, rows, subjects, captioner, self.options.seed, self.options.spice)
        for example in self.results.content.get("examples", ()):
            example["captioned"] = said[made.ids.index(example["id"])]


def _given(path: Path | None, flag: str) -> Path:
    if path is None:
        raise FileNotFoundError(f"no weights: give {flag}")
    return path
