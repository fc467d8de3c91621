/** Files on their way to a ticket. */
export const upload = {
  choose: "Add files",
  drop: "or drop them here, or paste a picture",
  list: "Files on their way",
  progress: (name: string) => `Upload of ${name}`,
  pause: (name: string) => `Pause ${name}`,
  resume: (name: string) => `Resume ${name}`,
  again: (name: string) => `Try ${name} again`,
  remove: (name: string) => `Remove ${name}`,
  state: {
    PREPARING: "Preparing…",
    WAITING: "Waiting for the connection…",
    UPLOADING: "Uploading…",
    PAUSED: "Paused",
    DONE: "Uploaded",
    FAILED: "Not uploaded",
  },
  failure: {
    EMPTY: "The file is empty.",
    UNREADABLE: "The file cannot be read.",
    REJECTED: "The server has rejected the file.",
    REFUSED: "The server does not take the file.",
  },
};
