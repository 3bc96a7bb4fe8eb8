"use strict";
// Asks for the state once a second and draws it. All text goes in as text, never as markup.

const PERIOD_MS = 1000;
const MOVING = ["WARMING", "PROGRESSING", "PAUSED", "AWAITING_APPROVAL", "PROMOTING", "BAKING"];

function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const percent = (parts) => `${Number((parts / 100).toFixed(2))}%`;
const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString();
const figure = (value, digits, unit = "") => (value === null || value === undefined ? "-" : value.toFixed(digits) + unit);

function freezeNote(freeze) {
  const what = freeze.scope === "*" ? "All services" : freeze.scope;
  const how = freeze.mode === "freeze" ? "frozen" : "on hold";
  const until = freeze.until === null ? "until it is lifted" : `until ${clock(freeze.until)}`;
  return element("div", { class: "freeze" },
    element("strong", {}, `${what}: ${how}`),
    ` by ${freeze.who} since ${clock(freeze.since)}, ${until}: ${freeze.reason}`);
}

function splitBar(service) {
  const bar = element("div", { class: "split", role: "img" });
  const told = [];
  for (const [version, parts] of Object.entries(service.weights)) {
    told.push(`${version} ${percent(parts)}`);
    if (parts === 0) continue;
    const known = { [service.canary]: "canary", [service.stable]: "stable" };
    const part = element("div", { class: known[version] || "other" }, parts >= 600 ? `${version} ${percent(parts)}` : "");
    part.style.flexGrow = parts;
    part.style.flexBasis = 0;
    bar.append(part);
  }
  bar.setAttribute("aria-label", told.join(", "));
  return bar;
}

function versionRow(service, version, traffic) {
  const cell = (text, kind = "number") => element("td", { class: kind }, text);
  const role = version === service.canary ? " (canary)" : version === service.stable ? " (stable)" : "";
  return element("tr", {},
    cell(version + role, "nowrap"),
    cell(percent(service.weights[version] || 0)),
    cell(figure(traffic.rps, 1)),
    cell(figure(traffic.error_rate === null ? null : 100 * traffic.error_rate, 2, "%")),
    cell(figure(traffic.p50_ms, 1)),
    cell(figure(traffic.p99_ms, 1)),
    cell(`${traffic.requests}`),
    cell(`${traffic.errors}`));
}

function versionTable(service) {
  const heads = ["version", "share", "requests/s", "errors", "p50 ms", "p99 ms", "requests", "errors in all"];
  const head = heads.map((text, i) => element("th", i ? { class: "number" } : {}, text));
  const rows = Object.entries(service.traffic).map(([version, traffic]) => versionRow(service, version, traffic));
  return element("div", { class: "wide" },
    element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows)));
}

function phaseKind(phase) {
  if (phase === "PROMOTED") return "good";
  if (phase.startsWith("ROLL")) return "bad";
  return MOVING.includes(phase) ? "moving" : "quiet";
}

function serviceCard(service) {
  const card = element("article", { class: service.frozen ? "service frozen" : "service" });
  const synced = service.proxies ? `${service.synced} of ${service.proxies} proxies in sync` : "no proxy is connected";
  const allSynced = service.proxies > 0 && service.synced === service.proxies;
  card.append(element("div", { class: "head" },
    element("h2", {}, service.name),
    element("span", { class: `phase ${phaseKind(service.phase)}` }, service.phase),
    element("span", { class: "quiet" }, service.listen),
    element("span", { class: allSynced ? "quiet" : "bad" }, synced)));
  if (service.diverted) card.append(element("p", { class: "bad" }, `On its fallback: ${service.diverted}`));
  card.append(splitBar(service));
  if (service.canary) {
    const steps = service.steps.map(percent).join(", ");
    const shares = Object.entries(service.weights).map(([version, parts]) => `${version} ${percent(parts)}`).join(", ");
    card.append(element("p", { class: "steps" }, `${shares}. Steps: ${steps}, promotion. ${service.phase_reason}`));
  }
  if (Object.keys(service.traffic).length) card.append(versionTable(service));
  if (service.verdict) card.append(reasonList("The judge says ", service.verdict, service.reasons));
  if (service.stable_verdict) card.append(reasonList("The watch over stable says ", service.stable_verdict, service.stable_reasons));
  return card;
}

function reasonList(who, verdict, reasons) {
  return element("ul", { class: "reasons" },
    element("li", {}, who, element("span", { class: `verdict ${verdict}` }, verdict)),
    ...reasons.map((text) => element("li", {}, text)));
}

function ledgerRow(line) {
  const cell = (text, kind = "") => element("td", { class: kind }, text);
  const when = element("td", { class: "nowrap", title: new Date(line.at * 1000).toISOString() }, clock(line.at));
  return element("tr", {}, cell(`${line.sequence}`), when, cell(line.kind.replaceAll("_", " "), "nowrap"),
    cell(line.service, "nowrap"), cell(line.who, "nowrap"), cell(line.why));
}

function fleetLine(fleet) {
  const states = Object.entries(fleet.states).map(([state, count]) => `${count} ${state}`).join(", ");
  return element("p", {}, element("strong", {}, fleet.fleet || "(no fleet)"), ` ${states}`);
}

function draw(state) {
  const put = (id, ...children) => document.getElementById(id).replaceChildren(...children);
  put("freezes", ...state.freezes.map(freezeNote));
  const broken = Object.entries(state.broken)
    .map(([name, what]) => element("p", { class: "bad" }, `The record of ${name} cannot be read: ${what}`));
  const none = element("p", { class: "quiet" }, "No service is declared yet: haldane apply -f FILE");
  const cards = state.services.map(serviceCard);
  put("services", ...broken, ...(cards.length || broken.length ? cards : [none]));
  const fleets = state.fleets.length ? state.fleets.map(fleetLine) : [element("p", { class: "quiet" }, "None is connected.")];
  put("proxies", element("h2", {}, "Proxies"), ...fleets);
  put("ledger", ...state.ledger.map(ledgerRow));
}

function tell(text, lost) {
  const told = document.getElementById("told");
  told.textContent = text;
  told.className = lost ? "lost" : "";
}

let answered = null;

async function refresh() {
  try {
    const answer = await fetch("/console/state", { cache: "no-store", signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const state = await answer.json();
    draw(state);
    answered = new Date();
    tell(state.unready ? `not ready: ${state.unready}` : `revision ${state.revision}, ${answered.toLocaleTimeString()}`, state.unready);
  } catch (error) {
    const since = answered ? ` since ${answered.toLocaleTimeString()}: what is shown is old` : "";
    tell(`The controller does not answer${since}. The proxies keep serving.`, true);
  }
  setTimeout(refresh, PERIOD_MS);
}

refresh();
