// Numbers and states in words for people, as the screen and the report have them.

const STATES = {
  unattended: "launcher lost",
  gone: "folder gone",
};

/** What an open session does, or how a closed one ended. */
export const stateWords = (state) => STATES[state] ?? state;

/** Bytes in the unit that suits them, as the screen and the report have them. */
export function size(number) {
  if (number < 1000) return `${number.toFixed(0)} B`;
  for (const unit of ["kB", "MB", "GB"]) {
    number /= 1000;
    if (number < 999.95) return `${number.toFixed(number < 100 ? 1 : 0)} ${unit}`;
  }
  return `${(number / 1000).toFixed(1)} TB`;
}
