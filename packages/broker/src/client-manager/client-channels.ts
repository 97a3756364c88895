/**
 * Which connection a client is reached by, by its client id.
 *
 * Keeps: of two connections that say they are one client the later one counts; a connection has few ids, whatever it says, and none
 * once it is closed.
 */

/** More ids than any client has: it has one for each of its instances. */
const IDS_PER_CHANNEL_MAX = 16

export class ClientChannels<Channel> {
  readonly #channels = new Map<string, Channel>()
  readonly #ids = new Map<Channel, Set<string>>()

  get size(): number {
    return this.#channels.size
  }

  channelOf(clientId: string): Channel | undefined {
    return this.#channels.get(clientId)
  }

  saw(clientId: string, channel: Channel): void {
    const former = this.#channels.get(clientId)
    if (former === channel) return
    if (former !== undefined) this.#forget(clientId, former)
    let ids = this.#ids.get(channel)
    if (ids === undefined) {
      ids = new Set()
      this.#ids.set(channel, ids)
    }
    if (ids.size >= IDS_PER_CHANNEL_MAX) {
      const [oldest] = ids
      this.#forget(oldest as string, channel)
    }
    ids.add(clientId)
    this.#channels.set(clientId, channel)
  }

  closed(channel: Channel): void {
    for (const id of this.#ids.get(channel) ?? []) this.#channels.delete(id)
    this.#ids.delete(channel)
  }

  #forget(clientId: string, channel: Channel): void {
    this.#channels.delete(clientId)
    const ids = this.#ids.get(channel)
    if (ids?.delete(clientId) === true && ids.size === 0) this.#ids.delete(channel)
  }
}
