"use strict";
const $ = id => document.getElementById(id);
const POLL = 300, PATIENCE = 20;  // milliseconds between looks at a job; looks that may fail one after the other
const OPTIONS = ["seed", "steps", "guidance", "duration", "best_of"];
let model = null, current = null;  // the id of the job that is waited for

class Refused extends Error {}

async function ask(path, options) {
  const answer = await fetch(path, options);
  if (answer.ok) return answer;
  const content = await answer.json().catch(() => ({}));
  throw new Refused(content.detail || `the server answered ${answer.status}`);
}

const post = (path, body) => ask(path, {method: "POST", headers: {"Content-Type": "application/json"}, body});
const json = async path => (await ask(path)).json();
const blobOf = async path => URL.createObjectURL(await (await ask(path)).blob());

function told(error) {
  return error instanceof Refused ? error.message : "the server cannot be reached: does it run still?";
}

function show(status, error = "") {
  $("status").textContent = status;
  $("error").textContent = error;
}

function settingsOf(job) {
  const own = job.sampler.init_args;
  const parts = [Number.isSafeInteger(job.seed) ? `seed ${job.seed}` : "a seed that its .json tells"];
  if (own.num_steps) parts.push(`${own.num_steps} steps`);
  parts.push(`guidance ${own.guidance_scale}`, `${job.duration.toFixed(2)} s`);
  if (job.chosen) parts.push(`the best of ${job.chosen.of} takes (the seed is its own)`);
  if (job.negative) parts.push(`without “${job.negative}”`);
  return `${parts.join(", ")}. Made in ${job.seconds.toFixed(1)} s.`;
}

async function add(job) {
  const item = $("clip").content.firstElementChild.cloneNode(true), base = `/api/jobs/${job.id}`;
  const name = job.text.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 40) || "sound";
  const [sound, sidecar, picture] = await Promise.all(
    ["sound.wav", "sidecar.json", "spectrogram.png"].map(file => blobOf(`${base}/${file}`)));  // stay when the server forgets
  item.querySelector("h3").textContent = job.text;
  item.querySelector(".settings").textContent = settingsOf(job);
  const audio = item.querySelector("audio");
  audio.src = sound;
  audio.setAttribute("aria-label", `sound: ${job.text}`);
  item.querySelector(".spectrogram").src = picture;
  for (const [kind, url] of [["wav", sound], ["json", sidecar]]) {
    const link = item.querySelector(`.${kind}`);
    link.href = url;
    link.download = `${name}-${job.seed}.${kind}`;
  }
  if (job.replay) {
    const line = item.querySelector(".same"), why = job.replay.differences.join("; ");
    line.hidden = false;
    line.classList.toggle("different", !job.replay.same);
    line.textContent = job.replay.same ? "The same sound again, bit for bit."
      : `Not the same: ${job.replay.others.join(" and ")}.${why ? ` What differs: ${why}.` : ""}`;
  }
  for (const details of item.querySelectorAll("details")) {
    details.hidden = details.classList.contains("inside") && !model.inside;
    details.addEventListener("toggle", () => reveal(details, base));
  }
  item.querySelector(".reuse").addEventListener("click", () => reuse(job));
  $("none").hidden = true;
  $("history").prepend(item);
  return item;
}

async function reveal(details, base) {
  const place = details.querySelector("div");
  if (!details.open || place.childElementCount) return;
  const line = document.createElement("p");
  line.className = "soft";
  line.setAttribute("role", "status");
  line.textContent = "Being made …";
  place.replaceChildren(line);
  try {
    const image = new Image();
    image.src = await blobOf(`${base}/${details.dataset.file}`);
    image.alt = details.dataset.alt;
    place.replaceChildren(image);
  } catch (error) {
    line.textContent = told(error);
  }
}

function reuse(job) {
  const own = job.sampler.init_args;
  $("text").value = job.text;
  $("negative").value = job.negative || "";
  const values = {seed: Number.isSafeInteger(job.seed) ? job.seed : 0, steps: own.num_steps,
                  guidance: own.guidance_scale, duration: Math.floor(job.duration * 1000) / 1000, best_of: 1};
  for (const option of OPTIONS) $(option).value = values[option] ?? "";
  $("text").focus();
}

function busy(on) {
  const held = [$("make"), $("cancel")].includes(document.activeElement);  // a button that goes must not take it along
  $("make").disabled = $("file").disabled = on;
  $("cancel").hidden = $("progress").hidden = !on;
  if (on) $("progress").removeAttribute("value");
  if (held) $(on ? "cancel" : "make").focus();
}

const visit = {
  get ids() {
    return JSON.parse(sessionStorage.getItem("jobs") || "[]");
  },
  add(id) {
    sessionStorage.setItem("jobs", JSON.stringify([...this.ids, id].slice(-model.limits.kept)));
  },
};

async function follow(id) {
  current = id;
  for (let failures = 0; ;) {
    let job = null;
    try {
      job = await json(`/api/jobs/${id}`);
      failures = 0;
    } catch (error) {
      if (error instanceof Refused || ++failures > PATIENCE) throw error;
    }
    if (job?.state === "queued") show(`Waiting: ${job.place === 1 ? "next" : `number ${job.place} in the queue`}.`);
    if (job?.state === "running" && !job.of) show("Being made.");
    if (job?.state === "running" && job.of) {
      $("progress").max = job.of;
      $("progress").value = job.step;
      show(`Step ${job.step} of ${job.of}.`);
    }
    if (job && !["queued", "running"].includes(job.state)) return job;
    await new Promise(resolve => setTimeout(resolve, POLL));
  }
}

async function make(path, body) {
  busy(true);
  show("Sent.");
  await ready;
  try {
    const {id} = await (await post(path, body)).json();
    const job = await follow(id);
    if (job.state === "failed") throw new Refused(job.error);
    if (job.state === "cancelled") return show("Cancelled.");
    visit.add(id);
    const item = await add(job);
    show(`Done: ${job.text}`);
    item.querySelector("audio").play().catch(() => {});  // where browsers let it
  } catch (error) {
    show("", told(error));
  } finally {
    current = null;
    busy(false);
  }
}

$("ask").addEventListener("submit", event => {
  event.preventDefault();
  if (current !== null || $("make").disabled) return;
  const body = {text: $("text").value};
  for (const option of OPTIONS) if ($(option).value !== "") body[option] = Number($(option).value);
  if ($("negative").value.trim()) body.negative = $("negative").value;
  make("/api/jobs", JSON.stringify(body));
});

$("text").addEventListener("keydown", event => {  // a sentence has no lines
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("ask").requestSubmit();
  }
});

$("dice").addEventListener("click", () => {
  $("seed").value = crypto.getRandomValues(new Uint32Array(1))[0] % 1000000;
});

$("cancel").addEventListener("click", () => {
  if (current !== null) ask(`/api/jobs/${current}`, {method: "DELETE"}).catch(() => {});  // it was done already
});

async function again(file) {
  if (!file || current !== null || $("make").disabled) return;
  await ready;
  if (!model) return show("", "the server cannot be reached: does it run still?");
  if (file.size > model.limits.body) return show("", `${file.name} is too large for the .json file of a sound`);
  await make("/api/replay", await file.text());
  $("file").value = "";
}

$("file").addEventListener("change", event => again(event.target.files[0]));
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, event => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    $("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") again(event.dataTransfer.files[0]);
  });
}

document.addEventListener("play", event => {  // one at a time
  for (const audio of document.querySelectorAll("audio")) if (audio !== event.target) audio.pause();
}, true);

const ready = start();  // what is asked for before waits for it

async function start() {
  try {
    model = await json("/api/model");
  } catch (error) {
    return show("", told(error));
  }
  $("bundle").textContent = `the bundle ${model.name}`;
  $("card").textContent = model.card;
  $("text").maxLength = $("negative").maxLength = model.limits.prompt;
  $("seed").max = model.limits.seed;
  $("best_of").max = model.limits.best_of;
  $("steps-field").hidden = model.limits.steps === null;
  for (const option of ["steps", "guidance", "duration"]) {
    $(option).max = model.limits[option];
    $(option).value ||= model.defaults[option] ?? "";  // nothing that was typed meanwhile
  }
  for (const id of visit.ids) {  // of the page before it was loaded again
    try {
      const job = await json(`/api/jobs/${id}`);
      if (job.state === "done") await add(job);
    } catch { /* the server keeps it no more */ }
  }
}

