// Who is signed in and what that allows; and for whoever may see nothing, how to come in.

import { element } from "./words.js";

const box = document.getElementById("caller");
const login = document.body.dataset.login; // the path; empty if there is no issuer to log in at
let drawn = "";

export function drawCaller(caller) {
  const shown = JSON.stringify(caller);
  if (shown === drawn) return; // a button that is drawn anew cannot be pressed
  drawn = shown;
  if (!caller.verified_by) {
    box.replaceChildren(...(login ? [loginLink()] : []));
    return;
  }
  const roles = caller.roles.map(({ role, services }) => (services.includes("*") ? role : `${role} of ${services.join(", ")}`));
  const rights = caller.restricted ? roles.join("; ") || "no role" : "may do everything";
  box.replaceChildren(element("strong", {}, caller.name), ` ${rights} `, ...(caller.verified_by === "oidc" ? [logoutButton()] : []));
}

// What a caller is told who may see nothing: the elements of a line, by the controller's refusal.
export function wayIn({ status, message }) {
  drawn = "";
  box.replaceChildren();
  if (status === 403) return [`${message}. `, ...(login ? [logoutButton()] : [])];
  if (login) return ["You are not logged in. ", loginLink()];
  return ["Only callers who prove who they are see this page. This browser needs a client certificate that the controller accepts. ",
    "On the command line a token will do: ", element("code", {}, "haldane list"), "."];
}

const loginLink = () => element("a", { href: login }, "Log in");

function logoutButton() {
  const button = element("button", { type: "button" }, "Log out");
  button.addEventListener("click", async () => {
    await fetch("/logout", { method: "POST" }).catch(() => null);
    location.reload();
  });
  return button;
}
