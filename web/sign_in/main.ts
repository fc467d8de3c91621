/** The button of passkeys, on the sign-in page and on that of a person's passkeys (`callout/http/passkeys.py`). The server
 * makes these pages; this script speaks with the browser's store of passkeys. The button is hidden where there is none. */

const place = document.querySelector<HTMLElement>("#passkey");
const button = place?.querySelector("button");
const failure = place?.querySelector<HTMLElement>("[data-failed]");

if (
  place && button && failure && "PublicKeyCredential" in window && "parseRequestOptionsFromJSON" in PublicKeyCredential
) {
  place.hidden = false;
  button.addEventListener("click", async () => {
    button.disabled = true;
    failure.textContent = "";
    try {
      location.assign(await (place.dataset.ceremony === "make" ? make() : signIn(place.dataset.next ?? "")));
    } catch {
      failure.textContent = failure.dataset.failed!;
      button.disabled = false;
    }
  });
}

/** Makes a passkey. Returns the path to go to. */
async function make(): Promise<string> {
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(await post("/passkeys/options"));
  const credential = await navigator.credentials.create({ publicKey }) as PublicKeyCredential;
  return (await post("/passkeys", { credential: credential.toJSON() })).path;
}

/** Signs in with a passkey that the person chooses. Returns the path to go to. */
async function signIn(next: string): Promise<string> {
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(await post("/passkeys/sign-in/options"));
  const credential = await navigator.credentials.get({ publicKey }) as PublicKeyCredential;
  return (await post("/passkeys/sign-in", { credential: credential.toJSON(), next })).path;
}

// deno-lint-ignore no-explicit-any
async function post(path: string, body?: unknown): Promise<any> {
  const headers = { "content-type": "application/json", "x-requested-with": "callout" };
  const answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(body ?? {}) });
  if (!answer.ok) throw new Error(String(answer.status));
  return await answer.json();
}

export {};
