"use strict";
const test = JSON.parse(document.getElementById("test").textContent);
const KEY = "diffsound-listening-test/" + test.test;
const GRADES = ["bad", "poor", "fair", "good", "excellent"];
const FITS = ["not at all", "poorly", "partly", "well", "completely"];
const QUESTIONS = {
  mos: {
    told: "How good a sound is overall, whatever it is meant to be: clean, natural, free of faults.",
    task: "How good is this sound?", legend: "Overall quality",
    answers: [5, 4, 3, 2, 1].map(grade => [grade, `${grade} – ${GRADES[grade - 1]}`]),
  },
  relevance: {
    told: "How well a sound fits a text: all that the text tells, in its order, and nothing else.",
    task: "How well does this sound fit the text?", legend: "Fit to the text",
    answers: [5, 4, 3, 2, 1].map(grade => [grade, `${grade} – ${FITS[grade - 1]}`]),
  },
  pairwise: {
    told: "Which of two sounds fits a text better.",
    task: "Which of the two fits the text better?", legend: "Better fit",
    answers: [["left", "A"], ["right", "B"], ["equal", "Both equally"]],
  },
};
const byId = id => document.getElementById(id);
let state = load();
let items = [];      // the questions of this listener, in order: {question, clips}
let shown = null;    // the question on the page: {players, heard}

// What a listener is asked follows from their number alone, so a page that was closed goes on with the same questions.
function random(seed) {  // xorshift, 32 bits
  let x = (Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ parseInt(test.test.slice(0, 8), 16)) | 0 || 1;
  const next = () => { x ^= x << 13; x ^= x >>> 17; x ^= x << 5; return (x >>> 0) / 2 ** 32; };
  for (let i = 0; i < 20; i++) next();  // seeds that are near each other part
  return next;
}

function shuffled(list, draw) {
  const copy = [...list];
  for (let i = copy.length - 1; i > 0; i--) {
    const j = Math.floor(draw() * (i + 1));
    [copy[i], copy[j]] = [copy[j], copy[i]];
  }
  return copy;
}

// Listeners 1, 2, 3, ... take turns through the list, so that all of it is judged equally often.
function turn(list, seed) {
  const count = Math.min(test.count, list.length);
  const start = ((seed - 1) % list.length) * count % list.length;
  return Array.from({length: count}, (_, i) => list[(start + i) % list.length]);
}

function questionsOf(seed) {
  const draw = random(seed);
  return test.questions.flatMap(question => question === "pairwise"
    ? shuffled(turn(test.pairs, seed), draw).map(pair => ({question, clips: shuffled(pair, draw)}))
    : shuffled(turn(test.clips, seed), draw).map(clip => ({question, clips: [clip]})));
}

function load() {
  try {
    return JSON.parse(localStorage.getItem(KEY));
  } catch (error) {
    return null;
  }
}

function keep() {
  try {
    localStorage.setItem(KEY, JSON.stringify(state));
  } catch (error) {
    byId("warning").textContent = "This browser keeps nothing: do not close the page before you have downloaded your answers.";
  }
}

function show(id) {
  for (const part of ["start", "question", "end"]) byId(part).hidden = part !== id;
  byId(id).querySelector("h1").focus();
  scrollTo(0, 0);
}

function begin(number) {
  const seed = number || 1 + crypto.getRandomValues(new Uint32Array(1))[0] % (2 ** 31 - 1);
  state = {listener: number ? String(number) : "random-" + seed, seed, started: new Date().toISOString(), at: 0, answers: {}};
  keep();
  resume();
}

function resume() {
  items = questionsOf(state.seed);
  state.at < items.length ? ask() : show("end");
}

function ask() {
  const item = items[state.at], kind = QUESTIONS[item.question], before = state.answers[state.at];
  shown = {players: [], heard: item.clips.map(() => Boolean(before)), plays: item.clips.map((_, i) => before ? before.plays[i] : 0)};
  byId("count").textContent = `Question ${state.at + 1} of ${items.length}`;
  byId("progress").max = items.length;
  byId("progress").value = state.at;
  byId("task").textContent = kind.task;
  byId("text").hidden = item.question === "mos";
  byId("text").textContent = item.question === "mos" ? "" : test.texts[item.clips[0]];
  byId("players").replaceChildren(...item.clips.map((clip, i) => player(clip, i, item.clips.length)));
  byId("answers").querySelector("legend").textContent = kind.legend;
  byId("answers").querySelector("div").replaceChildren(...kind.answers.map(([value, words], i) => {
    const label = document.createElement("label"), input = document.createElement("input"), key = document.createElement("kbd");
    label.className = "answer";
    Object.assign(input, {type: "radio", name: "answer", value, required: true, checked: Boolean(before) && before.answer === value});
    input.addEventListener("change", ready);
    key.textContent = typeof value === "number" ? value : i + 1;
    key.setAttribute("aria-hidden", "true");
    label.append(input, Object.assign(document.createElement("span"), {textContent: words, style: "flex: 1"}), key);
    return label;
  }));
  byId("keys").textContent = (item.clips.length > 1 ? "A and B play, 1 to 3 answer" : "space plays, 1 to 5 answer") + ", Enter goes on.";
  byId("back").disabled = state.at === 0;
  byId("next").textContent = state.at + 1 < items.length ? "Next" : "Finish";
  ready();
  show("question");
}

function player(clip, i, of) {
  const box = document.createElement("div"), button = document.createElement("button"), bar = document.createElement("progress");
  const audio = new Audio(`clips/${clip}.wav`);
  const name = of > 1 ? "AB"[i] : "the sound";
  const label = playing => { button.textContent = playing ? `■ Stop ${name}` : `▶ Play ${name}`; };
  box.className = "player";
  button.type = "button";
  bar.max = 1;
  bar.value = 0;
  bar.setAttribute("aria-label", `${name}: how much was played`);
  audio.preload = "auto";
  button.addEventListener("click", () => {
    if (!audio.paused) return audio.pause();
    for (const other of shown.players) other.pause();
    audio.currentTime = 0;
    return audio.play().catch(() => {});  // a sound that cannot be played is told of by its event
  });
  audio.addEventListener("play", () => label(true));
  audio.addEventListener("pause", () => label(false));
  audio.addEventListener("timeupdate", () => { bar.value = audio.currentTime / audio.duration || 0; });
  audio.addEventListener("error", () => { byId("warning").textContent = "A sound cannot be loaded. Check the connection and reload the page."; });
  audio.addEventListener("ended", () => {
    label(false);
    bar.value = 1;
    shown.heard[i] = true;
    shown.plays[i] += 1;
    ready();
  });
  label(false);
  box.append(button, bar);
  shown.players.push(audio);
  return box;
}

function chosen() {
  const input = byId("answers").querySelector("input:checked");
  return input && (Number(input.value) || input.value);
}

function ready() {
  const heard = shown.heard.every(Boolean);
  byId("answers").disabled = !heard;
  byId("next").disabled = !heard || chosen() === null;
  byId("hint").textContent = heard ? "" : shown.heard.length > 1 ? "Hear both to the end, then answer." : "Hear it to the end, then answer.";
}

function go(step) {
  for (const audio of shown ? shown.players : []) audio.pause();
  state.at += step;
  keep();
  state.at < items.length ? ask() : show("end");
}

byId("question").querySelector("form").addEventListener("submit", event => {
  event.preventDefault();
  if (byId("next").disabled) return;
  const {question, clips} = items[state.at];
  state.answers[state.at] = {question, clips, answer: chosen(), plays: shown.plays};
  go(1);
});
byId("back").addEventListener("click", () => go(-1));
byId("review").addEventListener("click", () => go(-1));

document.addEventListener("keydown", event => {
  if (byId("question").hidden || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const buttons = [...byId("players").querySelectorAll("button")], key = event.key.toLowerCase();
  const radios = [...byId("answers").querySelectorAll("input")];
  const onControl = event.target.closest("button, input");
  let target = null;
  if (buttons.length > 1 && (key === "a" || key === "b")) target = buttons["ab".indexOf(key)];
  else if (buttons.length === 1 && key === " " && !onControl) target = buttons[0];
  else if (/^[1-5]$/.test(key)) target = radios.length === 5 ? radios[5 - key] : radios[key - 1];
  else if (key === "enter" && !onControl && !byId("next").disabled) target = byId("next");
  if (!target || target.matches(":disabled")) return;
  event.preventDefault();
  target.click();
  if (target.type === "radio") target.focus();
});

byId("download").addEventListener("click", () => {
  state.finished ||= new Date().toISOString();
  keep();
  const {listener, seed, started, finished} = state;
  const answers = items.map((_, i) => state.answers[i]);
  const result = {format: 1, test: test.test, listener, seed, started, finished, answers};
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(result, null, 1)], {type: "application/json"}));
  link.download = `listening-test-${test.test.slice(0, 8)}-${listener}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
});

byId("again").addEventListener("click", () => {
  if (!confirm("Have you downloaded your answers? They will be forgotten.")) return;
  localStorage.removeItem(KEY);
  location.reload();
});

byId("start").querySelector("form").addEventListener("submit", event => {
  event.preventDefault();
  begin(Number(byId("listener").value) || 0);
});

byId("tasks").replaceChildren(...test.questions.map(question =>
  Object.assign(document.createElement("li"), {textContent: QUESTIONS[question].told})));
byId("listener").value = new URLSearchParams(location.search).get("listener") || "";
if (state) resume();
else show("start");
