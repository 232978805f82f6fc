// One open session: what it is, what it does, and what can be done with it.
import { ask, tell } from "./asking.js";
import { Charts } from "./charts.js";
import { make, say, sayAll } from "./dom.js";
import { size, stateWords } from "./words.js";

const LINES_SHOWN = 300;
const NAME_KEY = "openscope-name";
export class Card {
  /**
   * @param {{readOnly: boolean, announce: (text: string) => void, fill: (card: Card) => void}} page
   */
  constructor(page) {
    this.page = page;
    this.about = null;
    this.point = null;
    this.lastLine = 0;
    this.unread = true;
    this.charts = new Charts();
    this.build();
  }

  build() {
    this.badge = make("span", { class: "badge" });
    this.subject = make("span", { class: "subject" });
    this.name = make("span", { class: "name" });
    this.rehearsal = make("span", { class: "tag", hidden: true }, "rehearsal");
    this.stage = make("span", { class: "stage-name" });
    this.clock = make("strong", { class: "clock" });
    this.left = make("span", { class: "dim" });
    this.measures = make("span", { class: "measures dim" });
    this.alarm = make("span", { class: "alarm" });
    this.facts = make("p", { class: "facts dim" });
    this.plain = make("p", { class: "plain" });
    this.progress = make("progress", { max: 1, hidden: true, "aria-label": "time that has passed" });
    this.warnings = make("ul", { class: "warnings", "aria-label": "Warnings" });
    this.output = make("div", { class: "output", tabIndex: 0, role: "group", "aria-label": "The last lines of output" });
    this.output.append(make("p", { class: "dim" }, "no output yet"));
    this.notes = make("ul", { class: "notes", "aria-label": "Notes" });
    this.trouble = make("p", { class: "remark error", role: "alert", hidden: true });
    this.stopButton = this.button("Stop …", "danger", () => this.stop());
    this.recoverButton = this.button("Recover …", "", () => this.recover());
    this.report = make("a", { class: "button", target: "_blank", rel: "noopener" }, "Report so far");
    this.element = make(
      "details",
      { class: "card", ontoggle: () => this.unfolded() },
      make(
        "summary",
        {},
        make("h3", {}, this.badge, " ", this.subject, " ", this.name, " ", this.rehearsal),
        make("span", { class: "now" }, this.stage, " ", this.clock, " ", this.left),
        this.measures,
        this.alarm,
      ),
      this.facts,
      this.plain,
      this.progress,
      this.warnings,
      this.charts.element,
      make("div", { class: "columns" }, this.output, make("div", {}, this.notes, this.noteForm())),
      this.trouble,
      make("div", { class: "buttons" }, this.stopButton, this.recoverButton, this.report),
    );
  }

  button(text, kind, onclick) {
    return make("button", { type: "button", class: kind, hidden: true, onclick }, text);
  }

  noteForm() {
    this.text = make("input", { required: true, maxLength: 4000, autocomplete: "off" });
    this.by = make("input", { maxLength: 100, autocomplete: "name", value: localStorage.getItem(NAME_KEY) || "" });
    this.form = make(
      "form",
      { class: "note-form", hidden: true, onsubmit: (event) => this.addNote(event) },
      make("label", { class: "wide" }, "Note ", this.text),
      make("label", {}, "Your name ", this.by),
      make("button", {}, "Add note"),
    );
    return this.form;
  }

  // -- what is told ------------------------------------------------------------------------------

  /** Take in what the session is now. Returns whether its curves and lines must be read anew. */
  take(about) {
    const before = this.about;
    this.about = about;
    if (about.point) this.point = about.point;
    this.element.dataset.state = about.state === "closed" ? about.outcome : about.state;
    say(this.badge, stateWords(about.state === "closed" ? about.outcome || "closed" : about.state));
    this.element.ariaLabel = `Session ${about.name}`;
    say(this.subject, about.subject);
    say(this.name, about.name);
    this.rehearsal.hidden = !about.rehearsal;
    say(this.facts, this.factsWords());
    say(this.plain, this.plainWords());
    sayAll(this.warnings, [...about.warnings, ...about.forecasts], warning);
    sayAll(this.notes, about.notes, note);
    const alarms = about.warnings.length + about.forecasts.length;
    say(this.alarm, alarms ? `! ${alarms === 1 ? "1 warning" : `${alarms} warnings`}` : "");
    this.offer();
    this.announce(before);
    return before === null || before.epoch !== about.epoch;
  }

  factsWords() {
    const { rig, user, computer, began, path } = this.about;
    const parts = [rig && `rig ${rig}`, user, computer && `on ${computer}`, began && `began ${began}`, path];
    return parts.filter(Boolean).join(" · ");
  }

  plainWords() {
    const { state, outcome, reason, computer, last, path, stage } = this.about;
    const words = {
      unattended:
        "Its launcher was lost. The acquisition goes on under its guard, which closes the session when it ends.",
      interrupted: `Nobody closes this session: its launcher was lost at the stage “${stage}”, and it was last heard of at ${last}. Recover it to complete its records.`,
      elsewhere: `It was not opened by this account on this computer (but on ${computer || "another"}), so it is only shown. It was last heard of at ${last}.`,
      gone: `Its folder is not there any more: ${path}. This is the last that is known.`,
    };
    if (state in words) return words[state];
    return [outcome && state === "running" && `The acquisition ${outcome}.`, reason].filter(Boolean).join(" ");
  }

  offer() {
    const { acts, report, state, force_at: forceAt, running } = this.about;
    const may = !this.page.readOnly;
    this.form.hidden = !(may && acts.note);
    this.stopButton.hidden = !(may && acts.stop);
    this.recoverButton.hidden = !(may && acts.recover);
    say(this.stopButton, forceAt && running ? "End it by force …" : "Stop …");
    this.report.hidden = !report || state === "gone";
    if (report) this.report.href = report;
    say(this.report, state === "closed" ? "Report" : "Report so far");
  }

  announce(before) {
    const { subject, name, state, outcome, warnings } = this.about;
    const who = subject || name;
    if (before === null) return;
    for (const words of warnings) {
      if (!before.warnings.includes(words)) this.page.announce(`${who}: ${words}`);
    }
    if (state !== before.state) this.page.announce(`${who}: ${this.badge.textContent}. ${this.plain.textContent}`);
    else if (outcome !== before.outcome) this.page.announce(`${who}: the acquisition ${outcome}`);
  }

  /** Let the times go on. `now` is on the clock of the session's computer. */
  tick(now) {
    const { since, opened, ran_s: ran, limit_s: limit, usual_s: usual, force_at: forceAt, stage, state } = this.about;
    const passed = since != null ? now - since : ran;
    say(this.stage, state === "closed" || state === "gone" ? "" : stage);
    const shown = passed ?? (opened != null ? now - opened : null);
    say(this.clock, shown == null ? "" : plotting.clock(Math.max(shown, 0)));
    say(this.left, since == null ? "" : leftWords({ passed, limit, usual, forceLeft: forceAt && forceAt - now }));
    const whole = limit || usual;
    this.progress.hidden = since == null || !whole;
    if (whole && since != null) this.progress.value = Math.min(passed / whole, 1);
  }

  /** Take in a measurement. Returns whether the curves should be read anew. */
  measure(point) {
    this.point = point;
    const [, memory, , cpu, disk] = point;
    const parts = [
      memory != null && size(memory * 1e6),
      cpu != null && `CPU ${cpu.toFixed(0)} %`,
      disk != null && `${size(disk * 1e9)} free`,
    ];
    say(this.measures, parts.filter(Boolean).join(" · "));
    return this.charts.add(point);
  }

  /** Take in lines of output, each once. */
  print(lines) {
    const fresh = lines.filter(([number]) => number > this.lastLine);
    if (!fresh.length) return;
    if (!this.lastLine) this.output.replaceChildren();
    const { scrollTop, scrollHeight, clientHeight } = this.output;
    const atEnd = scrollTop + clientHeight >= scrollHeight - 8;
    this.output.append(...fresh.map(([, stream, text]) => make("p", { class: stream }, text)));
    while (this.output.childElementCount > LINES_SHOWN) this.output.firstElementChild.remove();
    if (atEnd) this.output.scrollTop = this.output.scrollHeight;
    this.lastLine = fresh.at(-1)[0];
  }

  /** Take in what it was so far. */
  fill({ epoch, plots, lines }) {
    if (epoch !== this.about.epoch) return;
    this.charts.begin(plots);
    if (this.point) this.charts.add(this.point);
    if (lines.length && lines.at(-1)[0] < this.lastLine) this.lastLine = 0; // it counts anew
    this.print(lines);
  }

  unfolded() {
    if (!this.element.open) return;
    if (this.unread) this.page.fill(this);
    this.charts.show();
    this.output.scrollTop = this.output.scrollHeight;
  }

  // -- what is done ------------------------------------------------------------------------------

  async act(name, what) {
    this.trouble.hidden = true;
    try {
      await tell(`/api/sessions/${this.about.id}/${name}`, what);
      return true;
    } catch (error) {
      say(this.trouble, error.message);
      this.trouble.hidden = false;
      return false;
    }
  }

  async addNote(event) {
    event.preventDefault();
    localStorage.setItem(NAME_KEY, this.by.value);
    if (await this.act("note", { text: this.text.value, by: this.by.value })) {
      this.text.value = "";
      this.page.announce("The note was added.");
    }
  }

  async stop() {
    const { subject, name, loses, grace_s: grace, force_at: forceAt } = this.about;
    const now = Boolean(forceAt);
    const within = grace ? ` within ${grace} seconds` : "";
    const reason = await ask({
      title: now ? `End the acquisition of ${subject || name} by force?` : `Stop the session of ${subject || name}?`,
      alarm: loses,
      words: now
        ? ["It was asked to end already. By force, it ends at once; what it has not written yet is lost."]
        : [`${name}: its acquisition is asked to end, and ended by force if it does not${within}. The session is then closed as aborted; what was recorded stays.`],
      field: "Why, for the records:",
      yes: now ? "End it by force" : "Stop it",
      no: "Let it run",
    });
    if (reason !== null) await this.act("stop", { reason, now });
  }

  async recover() {
    const { name } = this.about;
    const yes = await ask({
      title: `Recover ${name}?`,
      words: [
        "How its acquisition ended is judged from what is recorded, the steps that need no person are run, and its files are sealed. If something of its acquisition still runs, its end is waited for.",
        "Nothing that was recorded is lost.",
      ],
      yes: "Recover it",
      no: "Leave it",
    });
    if (yes !== null) await this.act("recover", {});
  }
}

function leftWords({ passed, limit, usual, forceLeft }) {
  if (forceLeft != null) {
    return forceLeft > 0 ? `stopping: ${Math.ceil(forceLeft)} s until it is ended by force` : "stopping: it is being ended by force";
  }
  if (limit) return `${plotting.clock(Math.max(limit - passed, 0))} left at most`;
  if (!usual) return "";
  const took = plotting.clock(usual);
  return passed < usual ? `about ${plotting.clock(usual - passed)} left (it usually takes ${took})` : `longer than usual (${took})`;
}

function warning(text) {
  const level = text.startsWith("✗") ? "error" : "warning";
  return make("li", { class: `remark ${level}` }, text.replace(/^[!✗] /, ""));
}

function note({ text, by, time, waiting }) {
  const who = [time, by, waiting && "waits to be taken into the journal"].filter(Boolean).join(" · ");
  return make("li", {}, make("span", { class: "said" }, text), make("span", { class: "dim" }, who));
}
