"use strict";
const saved = JSON.parse(document.getElementById("saved").textContent);
const figures = [...document.querySelectorAll(".suspect")];
// Of these regions alone: another review begins anew.
const key = "review " + saved.dataset + " " + saved.split + " " +
  saved.decisions.map((one) => one.example + one.counts.length).join(" ");
const KEYS = {a: "prediction", v: "void", x: "drop", d: "keep"};
let actions = recall();
let current = 0;

function recall() {
  try {
    return JSON.parse(localStorage.getItem(key)) || {};
  } catch {
    return {}; // a browser that remembers nothing
  }
}

function remember() {
  try {
    localStorage.setItem(key, JSON.stringify(actions));
  } catch {
    // The decisions stay on the page until it is closed.
  }
}

function show() {
  figures.forEach((figure, place) => {
    const action = actions[figure.dataset.region];
    figure.classList.toggle("decided", action !== undefined);
    figure.classList.toggle("current", place === current);
    for (const button of figure.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button.dataset.action === action));
    }
  });
  const count = Object.keys(actions).length;
  document.getElementById("count").textContent = `${count} of ${figures.length} decided`;
}

function go(place) {
  current = Math.min(Math.max(place, 0), figures.length - 1);
  show();
  figures[current].focus({preventScroll: true});
  figures[current].scrollIntoView({block: "center"});
}

function decide(place, action) {
  const region = figures[place].dataset.region;
  if (action === undefined) {
    delete actions[region];
  } else {
    actions[region] = action;
  }
  remember();
  current = place;
  show();
}

function save() {
  const decisions = saved.decisions
    .filter((one) => actions[one.region] !== undefined)
    .map((one) => ({...one, action: actions[one.region]}));
  const text = JSON.stringify({...saved, decisions}, null, 1) + "\n";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], {type: "application/json"}));
  link.download = document.getElementById("save").dataset.file;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

document.addEventListener("click", (event) => {
  if (event.target.id === "save") {
    save();
    return;
  }
  const figure = event.target.closest(".suspect");
  if (!figure) return;
  const place = figures.indexOf(figure);
  const {action} = event.target.dataset;
  if (action === undefined) {
    current = place;
    show();
  } else {
    // A second click takes it back.
    decide(place, actions[figure.dataset.region] === action ? undefined : action);
  }
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const pressed = event.key.toLowerCase();
  if (pressed in KEYS) {
    decide(current, KEYS[pressed]);
    go(current + 1);
  } else if (pressed === "u") {
    decide(current, undefined);
  } else if (pressed === "j" || pressed === "k") {
    go(current + (pressed === "j" ? 1 : -1));
  } else if (pressed === "s") {
    save();
  } else {
    return;
  }
  event.preventDefault();
});

show();
