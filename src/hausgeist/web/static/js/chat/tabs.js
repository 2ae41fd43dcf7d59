/** Tabs of the same browser tell each other what happened to a chat. */

/** `heard({chat, what})` is called with what other tabs tell. Gives back what tells them. */
export function tabs(heard) {
  if (!window.BroadcastChannel) return () => {};
  const channel = new BroadcastChannel("hausgeist.chats");
  channel.addEventListener("message", event => heard(event.data));
  return (chat, what) => channel.postMessage({ chat, what });
}
