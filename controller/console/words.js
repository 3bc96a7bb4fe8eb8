// Formats values and builds elements. Text is always inserted as text, never as markup.

export function element(tag, attributes, ...children) {
  const created = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) created.setAttribute(name, value);
  created.append(...children.filter((child) => child !== null));
  return created;
}

export const percent = (parts) => `${Number((parts / 100).toFixed(2))}%`;

export function share(value) {
  const points = 100 * value;
  return points >= 10 || points === 0 ? `${points.toFixed(0)}%` : `${Number(points.toPrecision(2))}%`;
}

export function millis(value) {
  if (value === null) return "> 1 h";
  if (value >= 1000) return `${(value / 1000).toFixed(1)} s`;
  return `${value.toFixed(value >= 100 ? 0 : 1)} ms`;
}

export function count(number) {
  if (number < 10000) return `${number}`;
  return number < 1e6 ? `${(number / 1000).toFixed(1)}k` : `${(number / 1e6).toFixed(1)}M`;
}

export function figure(value) {
  if (value === Infinity) return "without end";
  if (value >= 1e6) return value.toExponential(0);
  return value >= 100 ? value.toFixed(0) : `${Number(value.toPrecision(2))}`;
}

export function clock(seconds) {
  const at = new Date(seconds * 1000);
  const time = at.toLocaleTimeString("en-GB");
  return at.toDateString() === new Date().toDateString() ? time : `${at.toLocaleDateString("en-CA")} ${time}`;
}

export function span(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

// Who did something, with a word where nothing has verified the name: the controller says whether that is so.
export const actor = ({ who, unverified }) => (unverified ? `${who} (unverified)` : who);

export function many(number, what, plural = `${what}s`) {
  return `${number} ${number === 1 ? what : plural}`;
}
