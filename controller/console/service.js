// The card of one service: what is the state, what is Haldane doing, why, and what can be done about it.

import { count, element, figure, many, millis, percent, share, span } from "./words.js";

const GOES_ON = {
  WARMING: "warms up", PROGRESSING: "is on trial", PAUSED: "is paused", AWAITING_APPROVAL: "waits for approval",
  PROMOTING: "is being promoted", BAKING: "is promoted, and still watched", PROMOTED: "was promoted",
  ROLLING_BACK: "is being rolled back", ROLLED_BACK: "was rolled back",
};
const BAD = ["ROLLING_BACK", "ROLLED_BACK"];
const ALL = 10000; // parts
const STALE_TICK = 15; // seconds without a tick of a running rollout
const FAILING = 0.1; // of responses: from this error rate on a version is shown in red. The judge has limits of its own.

function isFailing(traffic) {
  return Boolean(traffic) && traffic.rps > 0 && traffic.error_rate >= FAILING;
}

function stableFails(service) {
  return !service.running && isFailing(service.traffic[service.stable]);
}

export function alarm(service) {
  // 3: harm that is not rolled back, 2: harm, a failing stable or a fallback, 1: an operator is needed, 0: nothing.
  if (service.running && service.verdict === "harm" && !BAD.includes(service.phase)) return 3;
  if (service.diverted || service.stable_verdict === "harm" || stableFails(service) || service.phase === "ROLLING_BACK") return 2;
  return service.phase === "AWAITING_APPROVAL" || service.proxies > service.synced ? 1 : 0;
}

export function makeCard(name) {
  const button = (act, text) => element("button", { "data-act": act, "data-service": name }, text);
  const freeze = button("freeze", "Freeze"), lift = button("unfreeze", "Unfreeze");
  freeze.className = "freeze-button";
  const commands = element("div", { class: "commands" });
  const card = element("article", { class: "service" },
    element("div", { class: "head" }, element("h2", {}, name), element("div", { class: "state" }),
      element("span", { class: "room" }), freeze, lift),
    element("div", { class: "body" }),
    element("details", {}, element("summary", {}, "What an operator can do"), commands));
  return { card, freeze, lift, commands, shownCommands: "", level: 0, state: card.querySelector(".state"), body: card.querySelector(".body") };
}

export function fillCard(view, service, now) {
  const level = alarm(service);
  view.card.className = `service${service.freezes.length ? " frozen" : ""}${level > 1 ? " alarming" : ""}`;
  view.state.replaceChildren(
    element("span", { class: `phase ${phaseKind(service.phase)}` }, service.phase.replaceAll("_", " ")),
    element("span", { class: "quiet" }, service.listen), proxies(service));
  view.body.replaceChildren(...warnings(service, level, now), headline(service, level), splitBar(service), ...ladder(service),
    ...traffic(service), ...judged(service), ...watched(service));
  const own = service.freezes.filter((freeze) => freeze.scope === service.name);
  view.lift.hidden = !service.may_lift;
  view.freeze.hidden = !service.may_freeze || own.some((freeze) => freeze.mode === "freeze");
  if (level > 1 && view.level < 2) view.card.querySelector("details").open = true;
  view.level = level;
  const commands = possible(service);
  if (commands.join() !== view.shownCommands) { // a command that is being copied stays
    view.shownCommands = commands.join();
    view.commands.replaceChildren(...commands.map((command) => element("code", {}, command)));
  }
}

function phaseKind(phase) {
  if (phase === "PROMOTED" || phase === "BAKING") return "good";
  return BAD.includes(phase) ? "bad" : phase === "IDLE" ? "quiet" : "moving";
}

function proxies(service) {
  if (!service.proxies) return element("span", { class: "bad" }, "no proxy is connected");
  const all = service.synced === service.proxies;
  return element("span", { class: all ? "quiet" : "bad" }, `${service.synced} of ${many(service.proxies, "proxy", "proxies")} in sync`);
}

function warnings(service, level, now) {
  const texts = [];
  if (service.diverted) texts.push(`ON THE FALLBACK: all traffic goes to ${service.diverted}`);
  if (level === 3) texts.push(`HARM, and the canary still gets ${percent(service.weights[service.canary] || 0)}: ${service.doing}`);
  texts.push(...service.sources);
  const silent = now - service.looked_at;
  if (service.running && service.looked_at && silent > STALE_TICK) texts.push(`No tick of this rollout for ${span(silent)}`);
  return texts.map((text) => element("p", { class: "banner bad" }, text));
}

function headline(service, level) {
  const line = element("p", { class: "headline" });
  if (!service.canary) line.append(element("strong", {}, service.stable), " has all the traffic. No rollout so far.");
  else {
    const weight = service.weights[service.canary] || 0;
    line.append(element("strong", {}, service.canary), ` ${GOES_ON[service.phase] || ""}: `);
    if (weight && weight < ALL) line.append(`it has ${percent(weight)} of the traffic, `, element("strong", {}, service.stable), " the rest.");
    else if (!service.diverted) line.append(element("strong", {}, weight ? service.canary : service.stable), " has all the traffic.");
    const why = service.running && service.doing ? service.doing : service.phase_reason;
    if (why && level < 3) line.append(` ${why[0].toUpperCase()}${why.slice(1)}.`);
  }
  return line;
}

function splitBar(service) {
  const bar = element("div", { class: "split", role: "img" });
  const shares = [];
  for (const [version, parts] of Object.entries(service.weights)) {
    shares.push(`${version} ${percent(parts)}`);
    if (parts === 0) continue;
    const known = { [service.canary]: "canary", [service.stable]: "stable" };
    const part = element("div", { class: known[version] || "other" }, parts >= 600 ? `${version} ${percent(parts)}` : "");
    part.style.flexGrow = parts;
    part.style.flexBasis = 0;
    bar.append(part);
  }
  bar.setAttribute("aria-label", shares.join(", "));
  return bar;
}

function ladder(service) {
  if (!service.canary) return [];
  const over = ["PROMOTING", "BAKING", "PROMOTED"].includes(service.phase);
  const back = BAD.includes(service.phase);
  const place = (number) => (back ? "" : over || number < service.step ? "done" : number === service.step ? "here" : "");
  const steps = service.steps.map((parts, number) => element("li", { class: place(number) }, parts ? percent(parts) : "shadow"));
  const last = over ? service.weights[service.canary] ?? ALL : ALL; // in the bake stable keeps its holdback
  return [element("ol", { class: "ladder", "aria-label": "Steps" }, ...steps, element("li", { class: over ? "here" : "" }, percent(last)))];
}

function table(kind, heads, rows) {
  const cells = heads.map((text, i) => element("th", i ? { class: "number" } : {}, text));
  for (const row of rows) heads.forEach((text, i) => { row.children[i].dataset.head = text; }); // a narrow page shows it there
  return element("div", { class: "wide" }, element("table", { class: `figures ${kind}` },
    element("thead", {}, element("tr", {}, ...cells)), element("tbody", {}, ...rows)));
}

function row(name, ...figures) {
  return element("tr", {}, element("td", { class: "nowrap" }, name), ...figures.map((f) => element("td", { class: "number" }, f)));
}

function traffic(service) {
  const role = (version) => (version === service.canary ? " canary" : version === service.stable ? " stable" : "");
  const more = ["broken", "cancelled"].filter((name) => Object.values(service.traffic).some((stats) => stats[name] > 0));
  const draining = ["ROLLING_BACK", "ROLLED_BACK"].includes(service.phase) && service.traffic[service.canary]?.in_progress > 0;
  if (draining) more.push("in_progress");
  const streams = Object.values(service.traffic).some((stats) => stats.ttft_p50_ms > 0);
  const first = (stats) => (streams ? [stats.ttft_p50_ms, stats.ttft_p99_ms].map((ms) => (ms > 0 ? millis(ms) : "-")) : []);
  const out = Object.values(service.endpoints).some((health) => health.healthy < health.total);
  const healthy = (version) => {
    const health = service.endpoints[version];
    return out ? [health ? `${health.healthy} of ${health.total}` : "-"] : [];
  };
  const rows = Object.entries(service.traffic).map(([version, stats]) => {
    const alive = stats.rps > 0;
    const figures = row(version + role(version), percent(service.weights[version] || 0), stats.rps.toFixed(1),
      alive ? share(stats.error_rate) : "-", alive ? millis(stats.p50_ms) : "-", alive ? millis(stats.p99_ms) : "-",
      ...first(stats), count(stats.requests), count(stats.errors), ...more.map((name) => count(stats[name])), ...healthy(version));
    if (isFailing(stats)) figures.children[3].classList.add("bad");
    return figures;
  });
  const heads = ["version", "share", "requests/s", "errors", "p50", "p99", ...(streams ? ["ttft p50", "ttft p99"] : []), "requests", "failed", ...more.map((name) => name.replace("_", " ")), ...(out ? ["healthy endpoints"] : [])];
  return rows.length ? [table("traffic", heads, rows)] : [];
}

const MEANS = { pass: "shown to do no harm, as far as this step asks", harm: "shown to do harm", unknown: "neither is shown yet" };

function verdict(who, word, means = "", kind = word) {
  return element("p", { class: "verdict-line" }, who, element("span", { class: `verdict ${kind}` }, word.toUpperCase()), means);
}

function judged(service) {
  if (!service.verdict || !service.running) return [];
  const weighed = service.grounds.filter((ground) => ground.limit > 0);
  const words = service.grounds.filter((ground) => !(ground.limit > 0));
  return [verdict("The judge says ", service.verdict, `: ${MEANS[service.verdict]}`), ...words.map((ground) => element("p", { class: "ground" }, ground.text)),
    ...(weighed.length ? [table("evidence", ["evidence of", "canary", "stable", "evidence, and the limit where it decides", "needs"],
      weighed.map(evidenceRow))] : [])];
}

function evidenceRow(ground) {
  const channel = ground.channel || (ground.code === "no_harm" ? "all" : ground.code);
  const points = Number((100 * ground.margin).toPrecision(2));
  const known = ground.bound === undefined ? "" : `, known: at most ${Number((100 * ground.bound).toPrecision(2))}`;
  const claim = ground.margin ? `${channel} less than ${many(points, "percentage point")} worse${known}` : `harm: ${channel}`;
  const evidence = ground.evidence ?? Infinity; // JSON has no infinity, and what is without end is left out
  const part = evidence >= ground.limit ? 1 : evidence > 1 ? Math.log(evidence) / Math.log(ground.limit) : 0;
  const bar = element("span", { class: `bar ${ground.margin ? "for" : "against"}` }, element("span", {}));
  bar.firstChild.style.width = `${100 * part}%`;
  const side = (rate, n) => (rate === undefined ? "-" : `${share(rate)} of ${count(n)}`);
  const cells = row(claim, side(ground.canary, ground.canary_n), side(ground.stable, ground.stable_n), "",
    ground.needed ? `${count(ground.needed)} request${ground.needed === 1 ? "" : "s"}` : "");
  cells.children[3].append(bar, ` ${figure(evidence)} of ${figure(ground.limit)}`);
  cells.title = ground.text;
  return cells;
}

function watched(service) {
  if (!service.stable_verdict) return [];
  const who = `The watch over ${service.stable} says `;
  const line = stableFails(service)
    ? verdict(who, service.stable_verdict, `: ${share(service.traffic[service.stable].error_rate)} of its responses are errors`, "harm")
    : verdict(who, service.stable_verdict);
  return [line,
    ...service.stable_reasons.map((text) => element("p", { class: "ground" }, text))];
}

function next(service) {
  return percent(service.steps[service.step + 1] ?? ALL);
}

function possible(service) {
  const acts = [`haldane watch ${service.name}`, `haldane explain ${service.name}`];
  const frozen = service.freezes.some((freeze) => freeze.mode === "freeze");
  const forced = frozen || (service.blocker?.kind === "no_healthy_upstream" && service.blocker.stops === "rollback");
  if (service.running) acts.push(`haldane rollback ${service.name}${forced ? " --force" : ""} --reason "..."`);
  if (service.running && service.phase === "PAUSED") acts.push(`haldane resume ${service.name}`);
  else if (service.running) acts.push(`haldane pause ${service.name} --reason "..."`);
  if (service.phase === "AWAITING_APPROVAL") acts.push(`haldane approve ${service.name} --canary ${service.canary} --to ${next(service)} --reason "..."`);
  if (service.diverted) acts.push(`haldane undivert ${service.name} --reason "..."`);
  if (!service.running && !frozen) acts.push(`haldane start ${service.name} --canary VERSION --reason "..."`);
  return acts;
}
