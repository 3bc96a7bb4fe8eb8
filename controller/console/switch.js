// The kill switch: one dialog that asks why, by the same door as curl. What is done is durable once it closes.

const part = (id) => document.getElementById(`switch-${id}`);
const dialog = document.getElementById("switch");
let pending = null; // {act, service}, service null for all
let asksForName = true;

// Who acts is asked for only where the controller does not know it.
export function recordAs(caller) {
  asksForName = !caller.verified_by && !caller.restricted;
  part("who-row").hidden = !asksForName;
}

export function ask(act, service) {
  pending = { act, service };
  const what = service === null ? "everything" : service;
  part("title").textContent = act === "freeze" ? `Freeze ${what}?` : `Unfreeze ${what}?`;
  part("effect").textContent = act === "freeze"
    ? "No weight moves until it is lifted: no step, no rollback by itself, no ordinary command. Traffic goes on as it is split now."
    : "What is due happens on fresh evidence: a canary that does harm is rolled back at once.";
  part("do").textContent = act === "freeze" ? "Freeze" : "Unfreeze";
  part("ttl-row").hidden = act !== "freeze";
  part("ttl").value = "";
  part("reason").value = "";
  part("error").textContent = "";
  part("who").value = remembered();
  dialog.showModal();
  part("reason").focus();
}

// A browser may forbid storage; then the name is pending for again.
function remembered() {
  try { return localStorage.getItem("haldane-user") || ""; } catch { return ""; }
}

function remember(name) {
  try { localStorage.setItem("haldane-user", name); } catch { /* nothing is lost but the convenience */ }
}

async function send() {
  const body = { service: pending.service, reason: part("reason").value };
  if (pending.act === "freeze") body.ttl = part("ttl").value || null;
  const headers = { "Content-Type": "application/json" };
  const who = asksForName ? part("who").value.trim() : "";
  if (who) headers["Haldane-User"] = who;
  const options = { method: "POST", headers, body: JSON.stringify(body), signal: AbortSignal.timeout(10000) };
  const response = await fetch(`/${pending.act}`, options);
  if (!response.ok) throw new Error((await response.json()).message);
  if (asksForName) remember(who);
}

dialog.querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  part("do").disabled = true;
  try {
    await send();
    dialog.close();
  } catch (error) {
    part("error").textContent = `Not done, or not known to be done: ${error.message}`;
  }
  part("do").disabled = false;
});
part("cancel").addEventListener("click", () => dialog.close());
