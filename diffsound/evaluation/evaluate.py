"""`diffsound evaluate`: make clips, or read them, score them in every way there is, and check the scores themselves."""

from __future__ import annotations

import argparse
import json
import shutil
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import yaml
from omegaconf import DictConfig
from rich.progress import track

from diffsound.callbacks.clip_writer import write_clip
from diffsound.captioner import Captioner
from diffsound.checkpoint import fingerprint, rebuild
from diffsound.data import manifest
from diffsound.evaluation.calibration import noise, rebuilt, shuffled, silence
from diffsound.evaluation.caption_scores import caption_scores
from diffsound.evaluation.checks import check_clips, check_scores, require_passed
from diffsound.evaluation.clips import SUFFIXES, ClipSet
from diffsound.evaluation.estimate import Estimate, bootstrap, bootstrap_summary
from diffsound.evaluation.extractors import Extractor
from diffsound.evaluation.extractors.ast import ASTExtractor
from diffsound.evaluation.extractors.clap import CLAPExtractor
from diffsound.evaluation.extractors.inception import MelceptionExtractor
from diffsound.evaluation.extractors.panns import PANNsExtractor
from diffsound.evaluation.extractors.tagger import TaggerExtractor
from diffsound.evaluation.judge import load_judge
from diffsound.evaluation.order import Score, score
from diffsound.evaluation.protocol import protocol, write_markdown
from diffsound.evaluation.report import write_report
from diffsound.evaluation.scores_file import FORMAT, ROWS
from diffsound.evaluation.standard import FRECHET_REPEATS, clap_score, describe, hear, standard_scores
from diffsound.evaluation.subjects import Subjects
from diffsound.evaluation.tagger import EventTagger
from diffsound.evaluation.timeline_picture import save_timelines
from diffsound.recipe import build_part, changed_recipe
from diffsound.scenes import Event, Structure, read
from diffsound.text_to_sound import TextToSound
from diffsound.write_text import write_text

SCENE_SCORES = {  # of `order.Score`: label, direction, unit
    "f1": ("event F1", "higher", ""), "precision": ("event precision", "higher", ""),
    "recall": ("event recall", "higher", ""), "order": ("order", "higher", ""),
    "order_when_heard": ("order, where both are heard", "higher", ""), "overlap": ("overlap", "higher", ""),
    "count": ("count", "higher", ""), "attributes": ("attributes", "higher", ""),
    "onset_error": ("onset error", "lower", "s"), "unasked": ("unasked events", "lower", ""),
    "exact": ("everything right", "higher", ""),
}
CAPTION_LABELS = {"cider": "CIDEr", "rouge_l": "ROUGE-L", "spice": "SPICE", "read": "captions that are scenes",
                  **{f"bleu_{n}": f"BLEU-{n}" for n in range(1, 5)}}
SWEPT = ("f1", "order", "count")
OF_TRUE = ("ceiling", "rebuilt")  # rows made from what is true of each text
EXAMPLES = 6  # of the worst and of the best clips
BATCH = 16
REPEATS = 1000  # of the bootstrap


def main(args: list[str]) -> None:
    """Score a system, or clips that it made. Clips that are there already are not made again.

    Scores go to OUT/scores.json, what they depend on to OUT/protocol.md, a page with everything to
    OUT/report/index.html, the clips to OUT/clips.
    """
    parser = argparse.ArgumentParser(
        prog="diffsound evaluate", description=main.__doc__.splitlines()[0],
        epilog="Other options, such as --runs out/demo/runs or --config FILE, change the recipe first.")
    parser.add_argument("--recipe", type=Path, help="names the system and the real clips of its test split")
    parser.add_argument("--clips", type=Path, help="folder of clips to score, with sidecars; none are made then")
    parser.add_argument("--reference", type=Path, help="folder or manifest of real clips, in place of the recipe's")
    parser.add_argument("--out", type=Path, default=Path("out/evaluation"), help="folder of all results")
    parser.add_argument("--num-clips", type=int, default=256, help="made of the first so many test clips")
    parser.add_argument("--seed", type=int, default=0, help="of the clips made")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu, cuda, cuda:1")
    parser.add_argument("--judge", type=Path, help="checkpoint of stage tagger; by default the package's own")
    parser.add_argument("--captioner", type=Path, help="checkpoint; by default that of the recipe, if it is trained")
    parser.add_argument("--ast", type=Path, help="folder of an Audio Spectrogram Transformer, for FAD, FD, KL, ...")
    parser.add_argument("--clap", type=Path, help="folder of a CLAP model, for the CLAP score too")
    parser.add_argument("--panns", type=Path, help="checkpoint of a PANNs Cnn14")
    parser.add_argument("--melception", type=Path, help="checkpoint of the paper's Inception of mels")
    parser.add_argument("--melception-table", type=Path, help="its means and deviations of the bands")
    parser.add_argument("--spice", action="store_true", help="score SPICE too, whose models must be there")
    parser.add_argument("--reference-hash", help="what the reference must be, as an earlier protocol.md tells it")
    parser.add_argument("--sweep", action="append", default=[], metavar="KEY=VALUE,VALUE",
                        help="of the sampler, such as guidance_scale=1,2,3 or num_steps=5,10,20; may be given again")
    parser.add_argument("--sweep-clips", type=int, default=64, help="made for each value")
    options, extra = parser.parse_known_args(args)
    if options.recipe is None and (options.clips is None or options.reference is None):
        parser.error("give --recipe, or --clips with --reference")
    recipe = changed_recipe(options.recipe, extra) if options.recipe else None
    Evaluation(options, recipe).run()


class Evaluation:
    """One run of the command: what is made and scored, in the order of the report."""

    def __init__(self, options: argparse.Namespace, recipe: DictConfig | None) -> None:
        self.options, self.recipe, self.out = options, recipe, options.out
        self.name = str(recipe.name) if recipe is not None else options.clips.name
        self.scores: dict[str, dict[str, Any]] = {}
        self.skipped: list[dict[str, Any]] = []
        self.result: dict[str, Any] = {"format": FORMAT, "recipe": self.name}

    def run(self) -> None:
        """Everything. The checks come first among the results: where one fails there are no scores."""
        judge = load_judge(self.options.judge).to(self.options.device)
        self.model = None
        if self.options.clips is None:
            self.model = build_part(self.recipe, "text_to_sound").to(self.options.device)
        sweeps = [read_sweep(text, self.model) for text in self.options.sweep]
        made, subjects = self.clips()
        for of_earlier_run in ("scores.json", "report/index.html"):  # else they would stand where this one fails
            (self.out / of_earlier_run).unlink(missing_ok=True)
        rows = {"made": made, **self.rows(made, subjects)}
        self.check_and_measure(self.distant_rows(rows, subjects), subjects, judge)
        if subjects.structures:
            self.score_scenes(rows, subjects, judge)
        else:
            others = [text for text in made.texts if read(text) is None]
            self.skip("scores of scenes", f"{len(others)} of {len(made)} texts are no captions of scenes, such as "
                      f"{(others or [''])[0]!r}", made)
        self.score_captions(rows, subjects)
        if sweeps:
            self.result["sweeps"] = [self.sweep(*sweep, subjects, judge) for sweep in sweeps]
        self.result |= {"clips": len(made), "scores": self.scores, "skipped": self.skipped}
        write_text(self.out / "scores.json", json.dumps(self.result, indent=1))
        page = write_report(self.out)
        print("\n".join(["", *table(self.scores), *(f"not scored: {one['name']}: {one['why']}" for one in self.skipped),
                         "", f"Scores are in {self.out / 'scores.json'}, what they depend on in "
                             f"{self.out / 'protocol.md'}. Open {page} in a browser."]))

    def clips(self) -> tuple[ClipSet, Subjects]:
        """What is scored, and what was asked for."""
        options = self.options
        data = None
        if options.reference is None:
            data = Subjects.of_data(build_part(self.recipe, "audio"), options.num_clips, options.seed)
        if options.clips is None:
            if options.reference is not None:
                raise ValueError("--reference is for clips that are there already: give --clips too, or neither")
            return self.make(data), data
        made = ClipSet.from_folder(options.clips, name="made")
        if len(made) < 2:
            raise ValueError(f"{options.clips} holds one clip alone: a distance between sets, or an interval, needs at "
                             "least 2")
        if data is not None:
            real = data.real
        elif options.reference.is_dir():
            real = ClipSet.from_folder(options.reference, made.sample_rate, "reference")
        else:
            splits = {clip.split for clip in manifest.read(options.reference)}
            real = ClipSet.from_manifest(options.reference, "test" if "test" in splits else None, made.sample_rate,
                                         "reference")
        return made, Subjects.of_texts(made, real, options.seed)

    def make(self, subjects: Subjects) -> ClipSet:
        """A clip of every text, kept as OUT/clips/ID.wav with its sidecar; what is there and the same is kept."""
        folder, real = self.out / "clips", subjects.real
        folder.mkdir(parents=True, exist_ok=True)
        asked = [(name, text, seed_of(name, self.options.seed))
                 for name, text in zip(real.ids, real.texts, strict=True)]
        missing = [one for one in asked if not self._is_made(folder, *one)]
        if missing:
            print(f"making {len(missing)} of {len(asked)} clips", flush=True)
        for first in track(range(0, len(missing), BATCH), "making clips", disable=not missing):
            names, texts, seeds = zip(*missing[first:first + BATCH], strict=True)
            for name, clip in zip(names, self.model(list(texts), list(seeds)), strict=True):
                write_clip(clip, folder / name)
        return ClipSet.from_files("made", [folder / f"{name}.wav" for name in real.ids])

    def _is_made(self, folder: Path, name: str, text: str, seed: int) -> bool:
        sidecar = folder / f"{name}.json"
        if not (sidecar.is_file() and sidecar.with_suffix(".wav").is_file()):
            return False
        known = json.loads(sidecar.read_text())
        return (known["text"], known["seed"], known["sampler"], known["parts"], known["grid"]["columns"]) == (
            text, seed, self.model.sampler.spec, self.model.fingerprints, self.model.columns)

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

    def check_and_measure(self, rows: dict[str, ClipSet], subjects: Subjects, judge: EventTagger) -> None:
        """Standard scores by every extractor there is. All checks run before any failure is told."""
        made, real, shuffle = rows["made"], subjects.real, shuffled(len(rows["made"]), self.options.seed)
        checks, used = check_clips(made, real, self.options.reference_hash), []
        for name, build in self.extractors(judge).items():
            try:
                extractor = build()
            except OSError as error:
                self.skip(f"scores by {name}", str(error), made)
                continue
            used.append(extractor)
            reference = hear(real, extractor)
            heard = {row: hear(clips, extractor) for row, clips in rows.items()}
            checks += check_scores(heard["made"], reference, made, extractor)
            for row, one in heard.items():
                skipped = self.skipped if row == "made" else None
                for key, estimate in standard_scores(one, reference, repeats=REPEATS, skipped=skipped).items():
                    self.note(key, row, estimate, **describe(key))
            if heard["made"].logits is not None and made.ids == real.ids:  # the other scores do not look at pairs
                swapped = replace(heard["made"], logits=heard["made"].logits[shuffle], windows=None)
                for key, estimate in standard_scores(swapped, reference, repeats=REPEATS).items():
                    if key.startswith("kl"):
                        self.note(key, "chance", estimate, **describe(key))
            if isinstance(extractor, CLAPExtractor) and (why := _untold(made.ids, made.texts)):
                self.skip("CLAP score", why, made)
            elif isinstance(extractor, CLAPExtractor):
                texts = extractor.text(made.texts)
                own = heard if subjects.true is subjects.others else {
                    row: one for row, one in heard.items() if row not in OF_TRUE}
                if subjects.true is real:
                    own["ceiling"] = reference
                pairs = {row: (one.features, texts) for row, one in own.items()}
                pairs["chance"] = (heard["made"].features, texts[shuffle])
                for row, pair in pairs.items():
                    self.note("clap_score", row, clap_score(*pair), label="CLAP score", group="text", better="higher",
                              unit="")
        require_passed(checks)
        self.result["checks"] = [check.as_dict() for check in checks]
        card = protocol(made, real, used, seed=0, repeats=REPEATS, frechet_repeats=FRECHET_REPEATS, inception_splits=10)
        self.result["protocol"] = card | ({"sampler": self.model.sampler.spec, "parts": self.model.fingerprints}
                                          if self.model is not None else {})
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

    @torch.no_grad()
    def score_scenes(self, rows: dict[str, ClipSet], subjects: Subjects, judge: EventTagger) -> None:
        """What the judge hears against what was asked for; and the clips, kinds and classes in which it differs."""
        asked, scores = subjects.structures, {}
        heard = {row: listen(judge, clips) for row, clips in rows.items()}
        for row, timelines in heard.items():
            scores[row] = [score(*pair) for pair in zip(timelines, asked, strict=True)]
        order = shuffled(len(asked), self.options.seed)
        scores["chance"] = [score(timeline, asked[i]) for timeline, i in zip(heard["made"], order, strict=True)]
        for row, of_row in scores.items():
            for key, estimate in bootstrap_summary(of_row, REPEATS).items():
                label, better, unit = SCENE_SCORES[key]
                self.note(key, row, estimate, label=label, group="scenes", better=better, unit=unit)
        groups = {"kind": [structure.kind for structure in asked]}
        if subjects.combinations:
            groups["combination"] = list(subjects.combinations)
            # what is held out has more sounds on average: within a kind that is no reason to be worse
            groups["kind_combination"] = [", ".join(pair) for pair in zip(groups["kind"], subjects.combinations,
                                                                          strict=True)]
        self.result["by"] = {name: _by({row: scores[row] for row in ("made", "ceiling") if row in scores}, members)
                             for name, members in groups.items()}
        self.result["confusion"] = confusion(heard["made"], asked, judge.classes)
        self.result["examples"] = self.examples(rows["made"], subjects, heard["made"], scores["made"], judge)

    def examples(self, made: ClipSet, subjects: Subjects, heard: Sequence[Sequence[Event]], scores: Sequence[Score],
                 judge: EventTagger) -> list[dict[str, Any]]:
        """The worst and the best clips, copied beside the report with their pictures."""
        ranked = sorted(range(len(made)), key=lambda i: (rightness(scores[i]), i))
        chosen = {"worst": ranked[:EXAMPLES], "best": ranked[:-EXAMPLES - 1:-1]}
        audio = self.options.clips or self.out / "clips"
        sources = {file.stem: file for file in audio.iterdir() if file.suffix.lower() in SUFFIXES}
        folder, examples, heard_at = self.out / "report" / "clips", [], made.at(judge.mel.sample_rate)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for rank, numbers in chosen.items():
            for i in numbers:
                source = sources[made.ids[i]]
                shutil.copyfile(source, folder / source.name)
                asked = [{"name": request.name, "onset": request.at, "offset": None}
                         for request in subjects.structures[i].requests for _ in range(request.count)]
                mel = judge.log_mel(heard_at.waveforms[i][None].to(judge.device))[0].cpu()
                save_timelines(folder / f"{made.ids[i]}.png", mel.numpy(), judge.mel, asked,
                               [vars(event) for event in heard[i]])
                examples.append({
                    "id": made.ids[i], "text": made.texts[i], "audio": f"clips/{source.name}",
                    "picture": f"clips/{made.ids[i]}.png", "seconds": made.seconds[i], "rank": rank,
                    "score": rightness(scores[i]), "asked": asked, "captioned": None,
                    "heard": [{"name": event.name, "onset": event.onset, "offset": event.offset}
                              for event in heard[i]]})
        return examples

    def score_captions(self, rows: dict[str, ClipSet], subjects: Subjects) -> None:
        """What a captioner says of the clips against what was asked for."""
        path = self.options.captioner
        if path is None:
            path = Path(str(self.recipe.get("runs", "runs")), self.name, "captioner", "last.ckpt") \
                if self.recipe is not None else None
            if path is None or not path.is_file():
                self.skip("audio-caption scores", "no captioner: make train-captioner, or give --captioner FILE",
                          rows["made"])
                return
        if why := _untold(rows["made"].ids, map("".join, subjects.captions)):
            self.skip("audio-caption scores", why, rows["made"])
            return
        captioner = Captioner.from_checkpoint(path).to(self.options.device)
        self.result["protocol"]["captioner"] = fingerprint(captioner)
        said = {row: say(captioner, clips) for row, clips in rows.items()}
        order = shuffled(len(rows["made"]), self.options.seed)
        asked = dict.fromkeys(said, (subjects.captions, subjects.structures))
        said["chance"] = said["made"]
        asked["chance"] = ([subjects.captions[i] for i in order],
                           subjects.structures and [subjects.structures[i] for i in order])
        for row, texts in said.items():
            found = caption_scores(texts, *asked[row], spice=self.options.spice)
            for key, one in found.rows.items():
                label = CAPTION_LABELS.get(key) or f"{SCENE_SCORES[key][0]}, by its captions"
                self.note(f"caption_{key}", row, bootstrap(one.statistic, one.values, REPEATS), label=label,
                          group="captions", better="higher", unit="")
            if row == "made":
                for key, why in found.skipped.items():
                    self.skip(CAPTION_LABELS.get(key, key.upper()), why, rows["made"])
        for example in self.result.get("examples", ()):
            example["captioned"] = said["made"][rows["made"].ids.index(example["id"])]

    @torch.no_grad()
    def sweep(self, key: str, values: list[Any], subjects: Subjects, judge: EventTagger) -> dict[str, Any]:
        """Scores of the first clips for each value of one setting of the sampler."""
        if not subjects.structures:
            raise ValueError("--sweep is scored by what the judge hears, which needs scenes: leave it out")
        real, number = subjects.real, min(self.options.sweep_clips, len(subjects.real))
        own, scores = self.model.sampler, {name: [] for name in SWEPT}
        try:
            for value in values:
                self.model.sampler = changed_sampler(self.model, key, value)
                waveforms: list[torch.Tensor] = []
                for first in track(range(0, number, BATCH), f"{key} {value}"):
                    last = min(first + BATCH, number)
                    seeds = [seed_of(name, self.options.seed) for name in real.ids[first:last]]
                    clips = self.model(list(real.texts[first:last]), seeds)
                    waveforms += [clip.waveform for clip in clips]
                made = ClipSet("made", waveforms, clips[0].mel_settings.sample_rate, real.texts[:number],
                               real.ids[:number])
                pairs = zip(listen(judge, made), subjects.structures[:number], strict=True)
                summary = bootstrap_summary([score(*pair) for pair in pairs], REPEATS)
                for name in SWEPT:
                    scores[name].append(summary[name].value if name in summary else None)
        finally:
            self.model.sampler = own
        told = [value if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
                for value in values]
        return {"over": key, "values": told, "scores": scores}

    def note(self, key: str, row: str, estimate: Estimate, **of_score: str) -> None:
        self.scores.setdefault(key, of_score)[row] = estimate.as_dict()

    def skip(self, name: str, why: str, clips: ClipSet) -> None:
        self.skipped.append({"name": name, "why": why, "clips": len(clips)})


def seed_of(name: str, seed: int) -> int:
    """Of a clip, from its id and the seed of the run: the same in every batch and for every sampler."""
    return zlib.crc32(f"{seed} {name}".encode())


def listen(judge: EventTagger, clips: ClipSet) -> list[list[Event]]:
    """What is heard in each clip."""
    return _of_each(judge.listen, clips.at(judge.mel.sample_rate), judge.device)


def say(captioner: Captioner, clips: ClipSet) -> list[str]:
    """A caption of each clip."""
    return _of_each(captioner.caption, clips.at(captioner.mel.sample_rate), captioner.device)


def _of_each(hear: Callable[[torch.Tensor], list], clips: ClipSet, device: torch.device) -> list:
    """What `hear` makes of each clip, of (B, N) where they are of one length."""
    batch, waveforms = BATCH if len(set(clips.seconds)) == 1 else 1, clips.waveforms
    return [one for first in range(0, len(clips), batch)
            for one in hear(torch.stack(waveforms[first:first + batch]).to(device))]


def rightness(one: Score) -> float:
    """The mean of what a clip was asked and got, 0 to 1, by which the worst and best clips are found."""
    parts = [getattr(one, name) for name in ("precision", "recall", "order", "overlap", "count", "attributes")]
    ratios = [right / of for right, of in parts if of]
    return sum(ratios) / len(ratios) if ratios else 0.0


def confusion(heard: Sequence[Sequence[Event]], asked: Sequence[Structure], classes: Sequence[str]) -> dict[str, Any]:
    """How often class i was asked for and not heard, but j was, unasked; on the diagonal, heard as asked."""
    number = {name: i for i, name in enumerate(classes)}
    counts = [[0] * len(classes) for _ in classes]
    for timeline, structure in zip(heard, asked, strict=True):
        found = {event.name for event in timeline}
        for name in set(structure.names) & number.keys():
            others = {name} if name in found else found - set(structure.names)
            for other in others:
                counts[number[name]][number[other]] += 1
    return {"classes": list(classes), "asked": counts}


def read_sweep(text: str, model: TextToSound | None) -> tuple[str, list[Any]]:
    """"num_steps=5,10" -> ("num_steps", [5, 10]). Raises ValueError if the sampler does not take these."""
    key, _, values = text.partition("=")
    if not key or not values:
        raise ValueError(f"--sweep is {text!r}, expected KEY=VALUE,VALUE such as guidance_scale=1,2,3")
    if model is None:
        raise ValueError("--sweep makes clips: leave --clips out")
    parsed = [yaml.safe_load(value) for value in values.split(",")]
    for value in parsed:
        changed_sampler(model, key, value)
    return key, parsed


def changed_sampler(model: TextToSound, key: str, value: Any) -> Any:
    """The model's sampler with another value of one of its settings.

    Raises:
        ValueError: if it has no such setting, or not that value.
    """
    spec = model.sampler.spec
    if key not in spec["init_args"]:
        raise ValueError(f"--sweep: {spec['class_path']} has no {key}, expected one of "
                         f"{', '.join(sorted(spec['init_args']))}")
    sampler = rebuild({**spec, "init_args": spec["init_args"] | {key: value}})
    if hasattr(sampler, "check"):
        sampler.check(model.decoder.transition)
    return sampler


def table(scores: dict[str, dict[str, Any]]) -> Iterable[str]:
    """Lines of plain text: a score a line, its interval, and the rows it is to be compared with."""
    others = [row for row in ROWS if row != "made"]
    yield f"{'':36}{'made':>9}  {'95 % interval':18}" + "".join(f"{row:>10}" for row in others)
    for one in scores.values():
        if "made" not in one:
            continue
        made = one["made"]
        cells = (_number(one[row]["value"]) if row in one else "" for row in others)
        label = f"{one['label']}{', ' + one['unit'] if one['unit'] else ''}"
        yield (f"{label:36}{_number(made['value']):>9}  {_number(made['low']) + ' to ' + _number(made['high']):18}"
               + "".join(f"{cell:>10}" for cell in cells))


def _by(rows: dict[str, Sequence[Score]], members: Sequence[str]) -> dict[str, dict[str, dict[str, Any]]]:
    """Of each group, and below it of its true renderings: the judge may hear one group better than another."""
    parts = {}
    for group in sorted(set(members)):
        for row, scores in rows.items():
            own = [one for one, member in zip(scores, members, strict=True) if member == group]
            parts[group if row == "made" else f"{group}, {ROWS[row]}"] = {
                key: estimate.as_dict() for key, estimate in bootstrap_summary(own, REPEATS).items()}
    return parts


def _untold(ids: Iterable[str], texts: Iterable[str]) -> str:
    """Why clips cannot be compared with their texts; "" if all have one."""
    untold = [name for name, text in zip(ids, texts, strict=True) if not text.strip()]
    return f"{len(untold)} clips have no text: {untold[0]} is the first" if untold else ""


def _given(path: Path | None, flag: str) -> Path:
    if path is None:
        raise FileNotFoundError(f"no weights: give {flag}")
    return path


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.0f}"
