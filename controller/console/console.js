// Asks for the state once a second and draws it; says so at once when no answer comes.

import { drawCaller, wayIn } from "./caller.js";
import { alarm, fillCard, makeCard } from "./service.js";
import { ask, recordAs } from "./switch.js";
import { actor, clock, element, many, percent, span } from "./words.js";

const PERIOD_MS = 1000;
const KEPT_OUT_MS = 10000; // each attempt is a denial in the controller's log
const RED = ["rollback", "rolled_back", "rollback_suppressed", "rollback_into_void", "blind", "proxy_refused", "fallback_on"];
const COLD = ["freeze_set", "freeze_lifted", "freeze_expired"];
const cards = new Map();
const part = (id) => document.getElementById(id);
let newest = null; // of the ledger, as drawn
let answered = null; // when the last answer came, by the browser's clock

function freezeNote(freeze, now) {
  const what = freeze.scope === "*" ? "Everything is" : `${freeze.scope} is`;
  const how = freeze.mode === "freeze" ? "FROZEN" : "ON HOLD";
  const left = freeze.until === null ? "until it is lifted" : `until ${clock(freeze.until)}, ${span(freeze.until - now)} left`;
  const effect = freeze.mode === "freeze" ? "No weight moves." : "Nothing advances; harm is still rolled back.";
  return element("div", { class: "banner freeze" },
    element("strong", {}, `${what} ${how}: ${freeze.reason}`),
    element("span", {}, `${effect} By ${actor(freeze)} since ${clock(freeze.since)}, ${left}.`));
}

function drawUnjudged({ judged }) {
  const text = judged?.problem ? `${judged.problem[0].toUpperCase()}${judged.problem.slice(1)}.` : "";
  part("unjudged").hidden = !text;
  if (part("unjudged").textContent !== text) part("unjudged").textContent = text; // read aloud once
}

function drawFreezes({ freezes, caller }, now) {
  part("freezes").replaceChildren(...freezes.map((freeze) => freezeNote(freeze, now)));
  part("freeze-all").hidden = !caller.may_freeze || freezes.some((freeze) => freeze.scope === "*" && freeze.mode === "freeze");
  part("lift-all").hidden = !caller.may_lift || !freezes.length; // it lifts every freeze and hold there is
}

function drawServices(state, now) {
  const services = [...state.services].sort((a, b) => alarm(b) - alarm(a) || a.name.localeCompare(b.name));
  const broken = Object.entries(state.broken)
    .map(([name, what]) => element("p", { class: "banner bad" }, `The record of ${name} cannot be read: ${what}`));
  const none = element("p", { class: "quiet" }, "No service is declared yet. ", element("code", {}, "haldane apply -f FILE"), " declares one.");
  for (const name of [...cards.keys()].filter((name) => !services.some((s) => s.name === name))) cards.delete(name);
  const wanted = services.map((service) => {
    if (!cards.has(service.name)) cards.set(service.name, makeCard(service.name));
    const view = cards.get(service.name);
    fillCard(view, service, now);
    return view.card;
  });
  // Cards stay where they are as long as they can: a button that moves under the mouse cannot be pressed.
  const shown = [...part("services").children].filter((child) => child.tagName === "ARTICLE");
  const same = shown.length === wanted.length && shown.every((card, i) => card === wanted[i]);
  if (!same || broken.length || !wanted.length) part("services").replaceChildren(...broken, ...(wanted.length ? wanted : [none]));
}

function drawProxies(state) {
  const fleets = state.fleets.map((fleet) => {
    const states = Object.entries(fleet.states).map(([word, number]) => `${number} ${word}`).join(", ");
    return element("p", {}, element("strong", {}, fleet.fleet || "(no fleet)"), ` ${states}`);
  });
  const behind = state.behind.map((proxy) =>
    element("p", { class: "bad" }, `${proxy.node} (${proxy.fleet}): ${proxy.state}${proxy.why ? `: ${proxy.why}` : ""}`));
  const excluded = state.exclusions.map((each) =>
    element("p", { class: "bad" }, `${each.node} is excluded by ${actor(each)}: ${each.reason}`));
  const strangers = state.strangers.map((each) =>
    element("p", { class: "bad" }, `${each.node} (${each.fleet || "no fleet"}, ${each.peer}) reports and is no proxy: ${each.reports} reports do not count (${each.reason})`));
  const unseen = state.unseen.map((each) =>
    element("p", { class: "bad" }, `${many(each.proxies, "proxy", "proxies")} of ${each.controller} not known: ${each.reason}`));
  const none = element("p", { class: "quiet" }, "None is connected. ", element("code", {}, "haldane bootstrap --fleet FLEET"), " prints what an Envoy needs.");
  part("proxies").replaceChildren(element("h2", {}, "Proxies"), ...(fleets.length ? fleets : [none]), ...unseen, ...behind, ...excluded, ...strangers);
}

function moved(line) {
  const names = [...new Set([...Object.keys(line.before), ...Object.keys(line.after)])].sort();
  return names.filter((name) => (line.before[name] || 0) !== (line.after[name] || 0))
    .map((name) => `${name} ${percent(line.before[name] || 0)} > ${percent(line.after[name] || 0)}`).join("\n");
}

function ledgerRow(line) {
  const cell = (text, kind = "") => element("td", { class: kind }, text);
  const when = element("td", { class: "nowrap", title: new Date(line.at * 1000).toISOString() }, clock(line.at));
  const kind = RED.includes(line.kind) ? "bad" : COLD.includes(line.kind) ? "cold" : line.kind === "promoted" ? "good" : "";
  return element("tr", {}, cell(`${line.sequence}`, "nowrap"), when, cell(line.kind.replaceAll("_", " "), `nowrap ${kind}`),
    cell(line.service === "*" ? "all" : line.service, "nowrap"), cell(moved(line), "moved"), cell(actor(line), "nowrap"), cell(line.why, "why"));
}

function drawLedger(ledger) {
  const top = ledger.length ? ledger[0].sequence : 0;
  if (top === newest) return; // a selection of text stays selected
  newest = top;
  part("ledger").replaceChildren(...ledger.map(ledgerRow));
}

function summary(state) {
  const running = state.services.filter((service) => service.running).length;
  const worst = Math.max(0, ...state.services.map(alarm));
  const frozen = state.freezes.length ? `${many(state.freezes.length, "freeze")} in force` : "nothing is frozen";
  document.title = `${worst > 1 ? "(!) " : ""}${state.freezes.length ? "frozen, " : ""}${many(running, "rollout")} - Haldane`;
  const role = state.role === "leader" ? "decides" : `follows ${state.leader || "nobody: none decides"}`;
  return `${state.controller} ${role}: ${many(state.services.length, "service")}, ${many(running, "rollout")} running, ${frozen}, revision ${state.revision}`;
}

function draw(state, now) {
  document.body.classList.remove("out");
  drawCaller(state.caller);
  recordAs(state.caller);
  drawUnjudged(state);
  drawFreezes(state, now);
  drawServices(state, now);
  drawProxies(state);
  drawLedger(state.ledger);
  part("summary").textContent = `${clock(now)}  ${summary(state)}`;
  lose(state.unready ? `Not ready: ${state.unready}.` : "");
}

function lose(text, old = false) {
  part("lost").hidden = !text;
  delete part("lost").dataset.shown;
  if (part("lost").textContent !== text) part("lost").textContent = text;
  document.body.classList.toggle("old", old);
}

function showLoss() {
  const since = answered ? ` since ${clock(answered / 1000)}, ${span((Date.now() - answered) / 1000)} ago. What is shown is from then` : "";
  lose(`The controller does not answer${since}. The proxies go on serving the last split; no rollout moves and nothing is rolled back meanwhile.`, true);
  document.title = "(!) no answer - Haldane";
}

function keepOut(refusal) {
  document.body.classList.add("out");
  part("summary").textContent = "";
  const shown = `${refusal.status} ${refusal.message}`;
  if (part("lost").dataset.shown !== shown) part("lost").replaceChildren(element("span", {}, ...wayIn(refusal)));
  part("lost").dataset.shown = shown; // a link that is drawn anew cannot be pressed
  part("lost").hidden = false;
  document.title = "Log in - Haldane";
}

async function fetchState() {
  const response = await fetch("/console/state", { cache: "no-store", signal: AbortSignal.timeout(5000) });
  if (response.status === 401 || response.status === 403) {
    return { refusal: { status: response.status, message: (await response.json()).message } };
  }
  if (!response.ok) throw new Error(`status ${response.status}`);
  const now = Date.parse(response.headers.get("Date")) / 1000 || Date.now() / 1000; // the controller's clock counts
  return { state: await response.json(), now };
}

async function refresh() {
  const answer = await fetchState().catch(() => null);
  if (answer) answered = Date.now();
  try {
    if (answer?.refusal) keepOut(answer.refusal);
    else if (answer) draw(answer.state, answer.now);
    else showLoss();
  } catch (error) { // an internal error: the page may be out of date
    lose(`This page has a fault (${error.message}); haldane list and haldane watch tell the truth.`, true);
  }
  setTimeout(refresh, answer?.refusal ? KEPT_OUT_MS : PERIOD_MS);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-act]");
  if (button) ask(button.dataset.act, button.dataset.service || null);
});
refresh();
