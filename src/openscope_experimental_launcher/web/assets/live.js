// The page: it listens to what happens, and keeps a card for each open session.
import { learn } from "./asking.js";
import { Card } from "./card.js";
import { say } from "./dom.js";
import { refresh } from "./history.js";

const ORDER = ["running", "unattended", "interrupted", "elsewhere", "closed", "gone"];
const UNFOLDED_AT_MOST = 2;
const SILENT_MS = 25000;

const place = document.getElementById("cards");
const nothing = document.getElementById("nothing-runs");
const connection = document.getElementById("connection");
const announcer = document.getElementById("announce");

const cards = new Map();
const page = { readOnly: false, announce: (text) => say(announcer, text), fill };
let clock = null; // the computer's clock, and ours, when it last spoke
let source = null;
let heardAt = 0;

// -- what is heard ---------------------------------------------------------------------------------

const heard = {
  hello({ word, read_only: readOnly, computer }) {
    learn(word);
    page.readOnly = readOnly;
    say(document.getElementById("computer"), `on ${computer}${readOnly ? " · only to look at" : ""}`);
  },
  all({ sessions }) {
    const numbers = new Set(sessions.map((about) => about.id));
    for (const number of [...cards.keys()]) if (!numbers.has(number)) remove(number);
    const first = cards.size === 0;
    sessions.forEach(take);
    if (first) for (const card of [...cards.values()].slice(0, UNFOLDED_AT_MOST)) unfoldFew(card);
    for (const card of cards.values()) fill(card);
    arrange();
    refresh();
  },
  news({ changed, points, lines, removed }) {
    removed.forEach(remove);
    changed.forEach(take);
    for (const [number, new_lines] of Object.entries(lines)) cards.get(number)?.print(new_lines);
    for (const [number, point] of Object.entries(points)) {
      const card = cards.get(number);
      if (card?.measure(point)) fill(card);
    }
    if (changed.length || removed.length) arrange();
  },
};

function take(about) {
  let card = cards.get(about.id);
  const before = card?.about.state;
  if (!card) {
    card = new Card(page);
    cards.set(about.id, card);
    card.element.dataset.session = about.name;
  }
  const anew = card.take(about);
  if (about.point) card.measure(about.point);
  if (anew) {
    if (before === undefined && clock) unfoldFew(card);
    fill(card);
  }
  if (before !== about.state) refresh();
}

function unfoldFew(card) {
  const open = [...cards.values()].filter((other) => other.element.open).length;
  if (open < UNFOLDED_AT_MOST) card.element.open = true;
}

function remove(number) {
  cards.get(number)?.element.remove();
  cards.delete(number);
}

/** Read what the session was so far; of a folded card when it is unfolded. */
async function fill(card) {
  card.unread = !card.element.open;
  if (card.unread) return;
  const answer = await fetch(`/api/sessions/${card.about.id}`).catch(() => null);
  if (answer?.ok) card.fill(await answer.json());
}

// -- how it is shown -------------------------------------------------------------------------------

/** Running sessions first, then those that need somebody; a card that somebody uses stays put. */
function arrange() {
  const rank = ({ about }) => ORDER.indexOf(about.state);
  const wanted = [...cards.values()].sort(
    (one, other) =>
      rank(one) - rank(other) ||
      other.about.began.localeCompare(one.about.began) ||
      one.about.name.localeCompare(other.about.name),
  );
  wanted.forEach((card, index) => {
    const there = place.children[index];
    if (there !== card.element && !card.element.contains(document.activeElement)) {
      place.insertBefore(card.element, there ?? null);
    }
  });
  const open = wanted.filter(({ about }) => rank({ about }) < ORDER.indexOf("closed")).length;
  nothing.hidden = open > 0;
  const warned = wanted.filter(({ about }) => about.warnings.length).length;
  document.title = `${warned ? "! " : ""}${open ? `${open} open · ` : ""}Sessions`;
}

function tick() {
  if (clock === null) return;
  const now = clock.computer + (performance.now() - clock.ours) / 1000;
  for (const card of cards.values()) card.tick(now);
}

// -- the connection --------------------------------------------------------------------------------

function connect() {
  source?.close();
  heardAt = Date.now();
  source = new EventSource("/api/events");
  source.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    heardAt = Date.now();
    if (message.now !== undefined) clock = { computer: message.now, ours: performance.now() };
    heard[message.kind]?.(message);
    tick();
    if (message.kind === "all") connected();
  };
  source.onerror = () => lost();
}

function connected() {
  document.body.classList.remove("lost");
  connection.className = "fine";
  say(connection, "live");
}

async function lost() {
  clock = null; // a clock that goes on would look as if all were well
  document.body.classList.add("lost");
  connection.className = "waits";
  const since = new Date(heardAt).toLocaleTimeString("en-GB");
  say(connection, `No connection: what is shown is from ${since}. Trying again …`);
  if (source.readyState !== EventSource.CLOSED) return; // the browser tries by itself
  const answer = await fetch("/api/history?limit=1").catch(() => null);
  if (answer?.status === 401) {
    say(connection, "The program was started anew: open the address that it has printed.");
    return;
  }
  setTimeout(connect, 2000);
}

setInterval(tick, 500);
setInterval(() => {
  if (Date.now() - heardAt > SILENT_MS && source.readyState === EventSource.OPEN) {
    lost();
    connect();
  }
}, 5000);
connect();
