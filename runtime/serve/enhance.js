/** Enhances on the server that the page came from. */
export const about = "Photographs are sent to the computer that this page came from, which keeps none of them.";

const TRIES = 30; // of a server whose queue is full

export async function networks() {
  return (await ask("networks")).json();
}

export async function enhance(blob, { network, strength, gate, signal }) {
  const query = new URLSearchParams({ network, strength, gate, name: blob.name ?? "" });
  const answer = await ask(`enhance?${query}`, { method: "POST", body: blob, signal });
  const note = decodeURIComponent(answer.headers.get("retinexrt-note") ?? "");
  return Object.assign(await answer.blob(), { note });
}

async function ask(path, options = {}) {
  for (let attempt = 1; ; attempt++) {
    const answer = await fetch(path, options).catch((error) => {
      throw options.signal?.aborted ? error : new Error("the server does not answer");
    });
    if (answer.ok) return answer;
    const { error } = await answer.json().catch(() => ({ error: `the server answers ${answer.status}` }));
    if (answer.status !== 429 || attempt === TRIES) throw new Error(error);
    await pause(1000 * Number(answer.headers.get("retry-after") ?? 1), options.signal);
  }
}

function pause(milliseconds, signal) {
  return new Promise((done, aborted) => {
    setTimeout(done, milliseconds);
    signal?.addEventListener("abort", () => aborted(signal.reason), { once: true });
  });
}
