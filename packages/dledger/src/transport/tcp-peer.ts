/**
 * What this member knows of its connections with one peer: two that it dials, two that the peer dials.
 *
 * Keeps: `connected` is told when all four work; a loss is told once, and again only after a word from the peer.
 */
import { Outgoing, type OutgoingOptions } from './tcp-outgoing.ts'
import type { Incoming } from './tcp-incoming.ts'
import type { Channel } from './greeting.ts'
import type { TransportLimits } from './limits.ts'

export class Peer<Item> {
  readonly id: string
  readonly control: Outgoing
  readonly data: Outgoing
  readonly #incoming: { control: Incoming<Item> | null; data: Incoming<Item> | null } = { control: null, data: null }
  #connected = false
  #lossTold = false
  #refusalTold: string | null = null
  #unreachableTold: string | null = null
  /** When the first request that nothing has answered was sent; 0 for none. Monotonic. */
  #askedAtMs = 0
  readonly #limits: TransportLimits
  /** As `#askedAtMs`, of the data connection; and when something of what waited there left last. */
  #dataAskedAtMs = 0
  #dataSilenceMs: number
  /** Of the data connection at the last look: what had left, and whether more waited. */
  #handedBytes = 0
  #hadQueued = false

  constructor(options: Omit<OutgoingOptions, 'channel'>) {
    this.id = options.peer.id
    this.#limits = options.limits
    this.#dataSilenceMs = options.limits.dataSilenceMs
    this.control = new Outgoing({ ...options, channel: 'control' })
    this.data = new Outgoing({ ...options, channel: 'data' })
  }

  dial(): void {
    this.control.dial()
    this.data.dial()
  }

  owns(incoming: Incoming<Item>): boolean {
    return this.#incoming[incoming.channel] === incoming
  }

  /** The peer dialed. Its former connection on this channel, if any, is closed. */
  adopt(incoming: Incoming<Item>): void {
    const former = this.#incoming[incoming.channel]
    this.#incoming[incoming.channel] = incoming
    this.heard()
    if (former !== null) {
      // The peer gave up a connection that we still thought good; ours the other way are not to be trusted either.
      former.destroy()
      this.renew()
    }
    this.control.hurry()
    this.data.hurry()
  }

  release(channel: Channel): void {
    this.#incoming[channel] = null
    this.#connected = false
  }

  /** Hot: a word from the peer arrived. */
  heard(): void {
    this.#askedAtMs = 0
    this.#lossTold = false
  }

  /** Hot: something was sent that every living peer answers. */
  asked(nowMs: number): void {
    if (this.#askedAtMs === 0) this.#askedAtMs = nowMs
  }

  /** @returns true when the peer has been mute for too long and got new connections. */
  renewIfSilent(nowMs: number, silenceMs: number): boolean {
    if (this.#askedAtMs === 0 || nowMs - this.#askedAtMs < silenceMs) return false
    this.#askedAtMs = 0
    this.renew()
    return true
  }

  /** Hot: something was sent on the data connection that every living peer answers. */
  askedOnData(nowMs: number): void {
    if (this.#dataAskedAtMs === 0) this.#dataAskedAtMs = nowMs
  }

  /** Hot: something that was sent on the data connection has arrived. */
  answeredData(): void {
    this.#dataAskedAtMs = 0
    this.#dataSilenceMs = this.#limits.dataSilenceMs
  }

  /** @returns how long the data connection alone has been mute, for too long, and is made anew; null: it has not. */
  renewDataIfSilent(nowMs: number): number | null {
    const { handedBytes, queuedBytes } = this.data
    // What has not waited is with the network, and may lie there.
    const hasLeft = this.#hadQueued && handedBytes > this.#handedBytes
    this.#handedBytes = handedBytes
    this.#hadQueued = queuedBytes > 0
    if (this.#dataAskedAtMs === 0) return null
    if (hasLeft) this.#dataAskedAtMs = nowMs
    const silentMs = nowMs - this.#dataAskedAtMs
    if (!this.data.ready || silentMs < this.#dataSilenceMs) return null
    this.#dataAskedAtMs = 0
    this.#dataSilenceMs = Math.min(2 * this.#dataSilenceMs, this.#limits.dataSilenceMsMax)
    this.#connected = false
    this.data.renew()
    return silentMs
  }

  renew(): void {
    this.#connected = false
    this.#dataAskedAtMs = 0
    this.control.renew()
    this.data.renew()
  }

  /** @returns true when all four connections work now and that was not told yet. */
  becameConnected(): boolean {
    if (this.#connected || !this.control.ready || !this.data.ready) return false
    if (this.#incoming.control === null || this.#incoming.data === null) return false
    this.#connected = true
    this.#refusalTold = null
    this.#unreachableTold = null
    return true
  }

  /** @returns true when a loss is to be told. */
  becameLost(): boolean {
    this.#connected = false
    this.#askedAtMs = 0
    this.#dataAskedAtMs = 0
    if (this.#lossTold) return false
    this.#lossTold = true
    return true
  }

  /** @returns true when this refusal is to be told. */
  becameRefused(why: string): boolean {
    if (this.#refusalTold === why) return false
    this.#refusalTold = why
    return true
  }

  /** @returns true when this reason is to be told. */
  becameUnreachable(why: string): boolean {
    if (this.#unreachableTold === why) return false
    this.#unreachableTold = why
    return true
  }

  /** Final. @param closed called once for each of the two connections that this member dialed. */
  close(closed: () => void): void {
    this.control.close(closed)
    this.data.close(closed)
    this.#incoming.control?.close()
    this.#incoming.data?.close()
  }

  destroy(): void {
    this.control.destroy()
    this.data.destroy()
    this.#incoming.control?.destroy()
    this.#incoming.data?.destroy()
  }
}
