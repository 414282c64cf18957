// The page: what is chosen, shown and downloaded. The network runs in worker.js.
"use strict";

const LONGEST_SIDE = 1600; // of the picture on the page; a phone's canvas has limits
const $ = (id) => document.getElementById(id);
const waiting = new Map(); // id of a request -> what to do with its answer
let worker, settings, shown, stream;
let turn = 0; // of what was asked for last; answers to what was before are not shown

// --- The worker

function begin() {
  worker = new Worker("worker.js");
  worker.onerror = (event) => stop(event.message || "worker.js cannot be loaded.");
  worker.onmessage = ({ data }) => {
    if (data.failure) return stop(data.failure);
    if (data.settings) return ready(data.settings);
    const { resolve, reject } = waiting.get(data.id);
    waiting.delete(data.id);
    data.error ? reject(new Error(data.error)) : resolve(data.result);
  };
  say("Loading the network ...");
}

function stop(why) {
  $("tool").hidden = true;
  $("problem").hidden = false;
  $("problem").classList.remove("late");
  $("problem").replaceChildren(`The network does not start: ${why}`);
}

function segment(bitmap) {
  const id = (segment.count = (segment.count ?? 0) + 1);
  worker.postMessage({ id, bitmap }, [bitmap]);
  return new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
}

function ready(given) {
  settings = given;
  $("title").textContent = document.title = `Try it: ${settings.name}`;
  $("classes").replaceChildren(...settings.classes.map(classLine));
  for (const id of ["files", "camera"]) $(id).disabled = false;
  $("camera").disabled = Boolean(noCamera());
  $("camera").title = noCamera();
  say("Ready.");
}

function say(text, bad = false) {
  $("status").textContent = text;
  $("status").classList.toggle("bad", bad);
}

// --- Classes

function classLine({ name, color }, value) {
  const line = document.createElement("li");
  const label = document.createElement("label");
  const box = document.createElement("input");
  box.type = "checkbox";
  box.checked = true;
  box.addEventListener("change", paint);
  const swatch = document.createElement("i");
  swatch.style.background = `rgb(${color})`;
  const text = document.createElement("span");
  text.textContent = name;
  const share = document.createElement("b");
  label.append(box, swatch, text, share);
  line.append(label);
  line.dataset.value = value;
  return line;
}

function showShares(name, labels) {
  const counts = new Uint32Array(256);
  for (const label of labels) counts[label]++;
  const seen = [];
  [...$("classes").children].forEach((line, value) => {
    line.classList.toggle("absent", !counts[value]);
    const percent = (100 * counts[value]) / labels.length;
    const text = `${percent.toFixed(percent < 10 ? 1 : 0)} %`;
    line.querySelector("b").textContent = counts[value] ? text : "";
    if (counts[value]) seen.push(`${settings.classes[value].name} ${text}`);
  });
  $("picture").setAttribute("aria-label", `${name}: ${seen.join(", ")}`);
}

function switchAll(on) {
  for (const box of $("classes").querySelectorAll("input")) box.checked = on;
  paint();
}

// --- What is shown

// Draws a bitmap, no larger than the page needs it.
function draw(bitmap) {
  const factor = Math.min(1, LONGEST_SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = $("picture");
  canvas.width = Math.max(1, Math.round(bitmap.width * factor));
  canvas.height = Math.max(1, Math.round(bitmap.height * factor));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  $("stage").classList.remove("empty");
  canvas.hidden = false;
}

// The overlay has the network's pixels; the style stretches it over the picture.
function paint() {
  if (!shown) return;
  const { labels, box } = shown.result;
  const visible = [...$("classes").querySelectorAll("input")].map((one) => one.checked);
  const colors = new Uint32Array(256);
  const bytes = new Uint8Array(colors.buffer);
  settings.classes.forEach(({ color }, value) => {
    if (visible[value]) bytes.set([...color, 255], 4 * value);
  });
  const image = new ImageData(box[1], box[0]);
  const pixels = new Uint32Array(image.data.buffer);
  for (let i = 0; i < labels.length; i++) pixels[i] = colors[labels[i]];
  const canvas = $("overlay");
  [canvas.height, canvas.width] = box;
  canvas.getContext("2d").putImageData(image, 0, 0);
  canvas.hidden = false;
}

function show(name, result) {
  shown = { name, result };
  paint();
  showShares(name, result.labels);
  const [height, width] = result.size;
  const seen = result.box.join() === result.size.join()
    ? "" : `, shrunk to ${result.box[1]} × ${result.box[0]}`;
  $("facts").textContent = `${name}: ${width} × ${height} pixels${seen}; ` +
    `${Math.round(result.milliseconds)} ms in the network of ${settings.size[1]} × ` +
    `${settings.size[0]} (${settings.runtime}).`;
  $("download").disabled = false;
}

// --- Pictures

async function open(file) {
  // The pixels as they are in the file, upright.
  const manner = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
  try {
    return await createImageBitmap(file, manner);
  } catch {
    throw new Error(`${file.name}: the browser cannot read it as a picture.`);
  }
}

function thumbnail(bitmap, name) {
  const canvas = document.createElement("canvas");
  canvas.height = 112;
  canvas.width = Math.max(1, Math.round((112 * bitmap.width) / bitmap.height));
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const button = document.createElement("button");
  button.type = "button";
  button.title = name;
  button.setAttribute("aria-label", name);
  button.append(canvas);
  return button;
}

// Adds files to the row of pictures, and shows the first of them.
async function add(files) {
  const added = [], wrong = [];
  for (const file of files) {
    try {
      const bitmap = await open(file);
      const button = thumbnail(bitmap, file.name);
      bitmap.close();
      button.addEventListener("click", () => look(file, button));
      $("chosen").append(button);
      added.push([file, button]);
    } catch (error) {
      wrong.push(error.message);
    }
  }
  if (added.length) await look(...added[0]);
  if (wrong.length) say(wrong.join(" "), true);
}

async function look(file, button) {
  if (stream) stopCamera();
  const own = ++turn;
  for (const other of $("chosen").children) {
    other.setAttribute("aria-pressed", String(other === button));
  }
  try {
    say(`${file.name}: the network runs ...`);
    const bitmap = await open(file);
    if (turn !== own) return;
    $("overlay").hidden = true;
    draw(bitmap);
    const result = await segment(bitmap);
    if (turn !== own) return;
    show(file.name, result);
    say("Ready.");
  } catch (error) {
    say(error.message, true);
  }
}

async function download() {
  const { name, result } = shown;
  const whole = restore(result.labels, result.box, result.size);
  const colors = settings.classes.map((one) => one.color);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await palettePng(whole, result.size, colors));
  link.download = `${name.replace(/\.[^.]*$/, "")}_mask.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// --- Camera

async function startCamera() {
  try {
    const video = document.createElement("video");
    stream = await navigator.mediaDevices.getUserMedia({
      video: { facingMode: "environment" },
    });
    video.srcObject = stream;
    video.muted = video.playsInline = true;
    await video.play();
    $("camera").textContent = "Stop the camera";
    say("The camera runs.");
    const own = ++turn;
    while (stream && turn === own) {
      const bitmap = await createImageBitmap(video);
      const drawn = await createImageBitmap(bitmap);
      const result = await segment(bitmap);
      if (!stream || turn !== own) break;
      draw(drawn);
      drawn.close();
      show("camera", result);
    }
  } catch (error) {
    if (stream) stopCamera();
    say(`The camera cannot be used: ${error.message}`, true);
  }
}

function stopCamera() {
  for (const track of stream.getTracks()) track.stop();
  stream = null;
  $("camera").textContent = "Use the camera";
  say("The camera is off.");
}

// --- The start

function listen() {
  $("files").addEventListener("change", (event) => {
    add([...event.target.files]);
    event.target.value = "";
  });
  $("camera").addEventListener("click", () => (stream ? stopCamera() : startCamera()));
  $("download").addEventListener("click", download);
  $("all").addEventListener("click", () => switchAll(true));
  $("none").addEventListener("click", () => switchAll(false));
  $("opacity").addEventListener("input", setOpacity);
  for (const kind of ["dragover", "dragleave", "drop"]) {
    $("stage").addEventListener(kind, (event) => {
      event.preventDefault();
      $("stage").classList.toggle("over", kind === "dragover");
      if (kind === "drop" && settings) add([...event.dataTransfer.files]);
    });
  }
  document.addEventListener("paste", (event) => {
    if (settings) add([...event.clipboardData.files]);
  });
}

function setOpacity() {
  $("percent").textContent = `${$("opacity").value} %`;
  $("overlay").style.opacity = $("opacity").value / 100;
}

const reason = problem();
if (reason) {
  $("problem").classList.remove("late");
  $("problem").replaceChildren(...reason);
} else {
  $("problem").hidden = true;
  $("tool").hidden = false;
  for (const id of ["files", "camera"]) $(id).disabled = true;
  setOpacity();
  listen();
  begin();
}
