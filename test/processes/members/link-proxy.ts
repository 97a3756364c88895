/**
 * One direction between two members: everything that one dials to the other goes through here and can be hindered.
 *
 * Members dial each other for what they send themselves, so a link carries one member's messages; only the answer to its hello
 * comes back. Where both directions are to be cut, both links are.
 */
import { connect, createServer, type Server, type Socket } from 'node:net'

export type Hindrance =
  | { readonly kind: 'none' }
  /** Nothing arrives; what was sent meanwhile comes when it is over, as after a partition. */
  | { readonly kind: 'blackhole' }
  | { readonly kind: 'delay'; readonly ms: number }
  | { readonly kind: 'bandwidth'; readonly bytesPerSecond: number }

/** One bit of a hello, or of what answers it. */
export interface SpoiltGreeting {
  readonly of: 'hello' | 'answer'
  readonly at: number
  readonly bit: number
}

const NO_HINDRANCE: Hindrance = { kind: 'none' }
const BANDWIDTH_STEP_MS = 20
/** Bytes held for a slow or cut link; then the sender is no longer read, as a full receive buffer would do. */
const HELD_BYTES_MAX = 4 * 1024 * 1024

export class LinkProxy {
  readonly #server: Server
  readonly #target: { readonly host: string; readonly port: number }
  readonly #connections = new Set<Connection>()
  hindrance: Hindrance = NO_HINDRANCE
  /** Pieces that arrived to be passed on so far: where little is said, one for each message. */
  chunks = 0
  /** Bits flipped and connections reset so far. */
  flips = 0
  resets = 0
  #spoiltGreetings: SpoiltGreeting[] = []

  constructor(target: { readonly host: string; readonly port: number }) {
    this.#target = target
    this.#server = createServer({ noDelay: true }, (from) => {
      const connection = new Connection(this, from, connect({ ...this.#target, noDelay: true }))
      connection.spoil(this.#spoiltGreetings.shift())
      this.#connections.add(connection)
      connection.whenOver(() => this.#connections.delete(connection))
    })
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(0, '127.0.0.1', resolve)
    })
  }

  hinder(hindrance: Hindrance): void {
    this.hindrance = hindrance
    for (const connection of this.#connections) connection.flush()
  }

  heal(): void {
    this.hinder(NO_HINDRANCE)
  }

  /** Every connection breaks after so many more bytes: mostly within a frame. */
  resetAfter(bytes: number): void {
    for (const connection of this.#connections) connection.resetAfter = bytes
  }

  /** One bit of every connection is another, so many bytes from now. */
  flipAfter(bytes: number, bit: number): void {
    for (const connection of this.#connections) {
      connection.flipAfter = bytes
      connection.flipBit = bit
    }
  }

  /** The next connection that is made has one bit of its greeting flipped; may be said several times. */
  spoilGreeting(greeting: SpoiltGreeting): void {
    this.#spoiltGreetings.push(greeting)
  }

  /** Greetings to come are left alone. */
  spareGreetings(): void {
    this.#spoiltGreetings = []
  }

  close(): void {
    this.#server.close()
    for (const connection of this.#connections) connection.destroy()
  }
}

class Connection {
  resetAfter = -1
  flipAfter = -1
  flipBit = 0
  readonly #link: LinkProxy
  readonly #from: Socket
  readonly #to: Socket
  readonly #ends: (() => void)[] = []
  /** In order of arrival, with the earliest time it may go on. */
  readonly #held: { bytes: Buffer; readonly atMs: number }[] = []
  #heldBytes = 0
  #fromEnded = false
  /** It was reset on the way: nothing more passes. */
  #isBroken = false
  #spoiltAnswer: SpoiltGreeting | null = null
  #timer: NodeJS.Timeout | null = null
  #stepEndsMs = 0
  #stepBytes = 0

  constructor(link: LinkProxy, from: Socket, to: Socket) {
    this.#link = link
    this.#from = from
    this.#to = to
    from.on('data', (bytes: Buffer) => this.#arrived(bytes))
    from.once('end', () => {
      this.#fromEnded = true
      this.flush()
    })
    // What comes back is not hindered: it is the answer to a hello, which does not arrive in a blackhole.
    to.on('data', (bytes: Buffer) => {
      this.#flipAnswer(bytes)
      from.write(bytes)
    })
    // A reset on one side is one on the other: members take it for a sign.
    from.once('error', () => this.#whenPassable(() => to.resetAndDestroy()))
    to.once('error', () => this.#whenPassable(() => from.resetAndDestroy()))
    from.once('close', () => this.#whenPassable(() => to.destroy()))
    to.once('close', () => this.#whenPassable(() => from.destroy()))
  }

  spoil(greeting: SpoiltGreeting | undefined): void {
    if (greeting === undefined) return
    if (greeting.of === 'answer') this.#spoiltAnswer = greeting
    else {
      this.flipAfter = greeting.at
      this.flipBit = greeting.bit
    }
  }

  /** Sends on what may go. */
  flush(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    const { hindrance } = this.#link
    if (hindrance.kind === 'blackhole' || this.#isBroken) return
    const nowMs = performance.now()
    for (let first = this.#held[0]; first !== undefined; first = this.#held[0]) {
      if (hindrance.kind === 'delay' && first.atMs > nowMs) return this.#later(first.atMs - nowMs)
      let part = first.bytes
      if (hindrance.kind === 'bandwidth') {
        if (nowMs >= this.#stepEndsMs) {
          this.#stepEndsMs = nowMs + BANDWIDTH_STEP_MS
          this.#stepBytes = Math.max(1, Math.floor((hindrance.bytesPerSecond * BANDWIDTH_STEP_MS) / 1_000))
        }
        if (this.#stepBytes === 0) return this.#later(this.#stepEndsMs - nowMs)
        part = part.subarray(0, this.#stepBytes)
        this.#stepBytes -= part.length
      }
      if (part.length === first.bytes.length) this.#held.shift()
      else first.bytes = first.bytes.subarray(part.length)
      this.#heldBytes -= part.length
      if (!this.#pass(part)) return
    }
    if (this.#from.isPaused() && this.#heldBytes < HELD_BYTES_MAX) this.#from.resume()
    if (this.#fromEnded) this.#to.end()
    for (const end of this.#ends.splice(0)) end()
  }

  /** Both sides are closed. */
  whenOver(callback: () => void): void {
    const closed = (): void => {
      if (this.#timer !== null && this.#from.closed && this.#to.closed) clearTimeout(this.#timer)
      if (this.#from.closed && this.#to.closed) callback()
    }
    this.#from.once('close', closed)
    this.#to.once('close', closed)
  }

  destroy(): void {
    this.#from.destroy()
    this.#to.destroy()
  }

  #arrived(bytes: Buffer): void {
    const { hindrance } = this.#link
    this.#link.chunks++
    this.#held.push({ bytes, atMs: performance.now() + (hindrance.kind === 'delay' ? hindrance.ms : 0) })
    this.#heldBytes += bytes.length
    if (this.#heldBytes >= HELD_BYTES_MAX) this.#from.pause()
    if (this.#timer === null) this.flush()
  }

  #flipAnswer(bytes: Buffer): void {
    const spoilt = this.#spoiltAnswer
    if (spoilt === null) return
    this.#spoiltAnswer = null
    this.#flip(bytes, spoilt.at % bytes.length, spoilt.bit)
  }

  #flip(bytes: Buffer, at: number, bit: number): void {
    bytes[at] = (bytes[at] as number) ^ (1 << bit)
    this.#link.flips++
  }

  /** @returns false when the connection broke. */
  #pass(bytes: Buffer): boolean {
    if (this.flipAfter >= 0) {
      if (this.flipAfter < bytes.length) {
        this.#flip(bytes, this.flipAfter, this.flipBit)
        this.flipAfter = -1
      } else this.flipAfter -= bytes.length
    }
    if (this.resetAfter >= 0) {
      if (this.resetAfter < bytes.length) {
        this.#to.write(bytes.subarray(0, this.resetAfter), () => {
          this.#from.resetAndDestroy()
          this.#to.resetAndDestroy()
        })
        this.#link.resets++
        this.#isBroken = true
        return false
      }
      this.resetAfter -= bytes.length
    }
    this.#to.write(bytes)
    return true
  }

  #later(ms: number): void {
    this.#timer = setTimeout(() => this.flush(), Math.max(1, ms))
  }

  /** In a blackhole not even an end is heard. */
  #whenPassable(end: () => void): void {
    if (this.#link.hindrance.kind === 'blackhole') this.#ends.push(end)
    else end()
  }
}
