/**
 * Links between nodes of one process, moved by hand: every connection is a stream of bytes whose chunks a test delivers when and
 * in which order it likes, cut where it likes; connections come and go one by one, and each side learns it in its own time.
 */
import { decodeControl } from '../../transport/control-part.ts'
import { FrameReader, type FrameSink } from '../../transport/frame-codec.ts'
import type { Channel } from '../../transport/greeting.ts'
import type { LinkedPeer, Links, LinksHandler, WayOut } from '../../transport/links.ts'
import { DEFAULT_TRANSPORT_LIMITS } from '../../transport/limits.ts'
import type { Hello } from '../../transport/transport.ts'
import { CONTROL_VALUES_MAX, type HostFrame } from '../host-frames.ts'

export const CHANNELS: readonly Channel[] = ['control', 'data']

/** All nodes of a test. */
export class Board {
  readonly nodes = new Map<string, MemoryLinks>()

  /** `from` has a new connection to `to`, which knows it already; `from` learns it with the first delivery. */
  dial(from: string, to: string, channel: Channel): void {
    const near = this.nodes.get(from)
    const far = this.nodes.get(to)
    if (near === undefined || far === undefined) return
    const way = near.wayTo(to, channel)
    if (way.stream !== null) return
    way.stream = new Stream(near, far, channel)
    far.adopt(way.stream)
  }

  /** The next event of one connection: its welcome, or a chunk of at most `bytesMax`. @returns false when there is none. */
  step(from: string, to: string, channel: Channel, bytesMax: number): boolean {
    const way = this.nodes.get(from)?.wayTo(to, channel)
    if (way === undefined || way.stream === null) return false
    if (!way.ready) {
      way.ready = true
      way.owner.welcomed(to, channel)
      return true
    }
    return way.stream.deliver(bytesMax)
  }

  /** The connection ends. With `silently` the receiving side learns it only when the next one is dialed. */
  cut(from: string, to: string, channel: Channel, silently: boolean): void {
    const near = this.nodes.get(from)
    const way = near?.wayTo(to, channel)
    if (near === undefined || way === undefined || way.stream === null) return
    const { stream } = way
    way.end()
    near.lose(to)
    if (!silently) stream.far.lostIncoming(stream)
  }

  /** The process of a node ends: so do all its connections. */
  remove(id: string): void {
    const gone = this.nodes.get(id)
    if (gone === undefined) return
    this.nodes.delete(id)
    for (const other of this.nodes.values()) {
      for (const channel of CHANNELS) {
        other.lostIncoming(gone.wayTo(other.self, channel).stream)
        const way = other.wayTo(id, channel)
        if (way.stream !== null) way.end()
      }
      other.lose(id)
    }
  }
}

class Stream {
  readonly near: MemoryLinks
  readonly far: MemoryLinks
  readonly channel: Channel
  readonly #reader: FrameReader
  #chunks: Buffer[] = []
  #item: HostFrame | null = null
  bytes = 0

  constructor(near: MemoryLinks, far: MemoryLinks, channel: Channel) {
    this.near = near
    this.far = far
    this.channel = channel
    const between = { from: near.self, to: far.self, storeId: '' }
    const sink: FrameSink = {
      controlRead: (control, payloadBytes) => {
        const values = decodeControl(Buffer.from(control), CONTROL_VALUES_MAX)
        this.#item = far.handler.read(channel, between, values, payloadBytes)
      },
      frameRead: (payload) => {
        if (far.owns(this)) far.handler.received(near.self, channel, this.#item as HostFrame, payload)
      },
    }
    this.#reader = new FrameReader(DEFAULT_TRANSPORT_LIMITS, sink, 'messages')
  }

  push(chunk: Buffer): void {
    this.#chunks.push(Buffer.from(chunk))
    this.bytes += chunk.length
  }

  deliver(bytesMax: number): boolean {
    const first = this.#chunks[0]
    if (first === undefined) return false
    const chunk = first.subarray(0, bytesMax)
    if (chunk.length === first.length) this.#chunks.shift()
    else this.#chunks[0] = first.subarray(chunk.length)
    this.bytes -= chunk.length
    if (this.far.owns(this)) this.#reader.push(chunk)
    if (this.bytes === 0) this.near.handler.drained(this.far.self, this.channel)
    return true
  }
}

class MemoryWay implements WayOut {
  readonly owner: MemoryLinks
  stream: Stream | null = null
  ready = false

  constructor(owner: MemoryLinks) {
    this.owner = owner
  }

  get queuedBytes(): number {
    return this.stream?.bytes ?? 0
  }

  send(head: Buffer, payload: readonly Buffer[] | null): void {
    this.stream?.push(head)
    for (const part of payload ?? []) this.stream?.push(part)
  }

  end(): void {
    this.stream = null
    this.ready = false
  }
}

interface Ways extends LinkedPeer {
  readonly control: MemoryWay
  readonly data: MemoryWay
}

export class MemoryLinks implements Links<HostFrame> {
  readonly self: string
  readonly #ways = new Map<string, Ways>()
  readonly #incoming = new Map<string, Stream>()
  readonly #told = new Set<string>()
  #handler: LinksHandler<HostFrame> | null = null
  #hello: Hello | null = null

  constructor(board: Board, self: string) {
    this.self = self
    board.nodes.set(self, this)
  }

  get handler(): LinksHandler<HostFrame> {
    return this.#handler as LinksHandler<HostFrame>
  }

  start(hello: Hello, handler: LinksHandler<HostFrame>, callback: (error: Error | null) => void): void {
    this.#hello = hello
    this.#handler = handler
    callback(null)
  }

  peer(id: string): Ways | undefined {
    let ways = this.#ways.get(id)
    if (ways === undefined) {
      ways = {
        id,
        control: new MemoryWay(this),
        data: new MemoryWay(this),
        asked: () => {},
        askedOnData: () => {},
        answeredData: () => {},
      }
      this.#ways.set(id, ways)
    }
    return ways
  }

  close(callback: () => void): void {
    callback()
  }

  wayTo(id: string, channel: Channel): MemoryWay {
    return (this.peer(id) as Ways)[channel]
  }

  owns(stream: Stream): boolean {
    return this.#incoming.get(`${stream.near.self} ${stream.channel}`) === stream
  }

  adopt(stream: Stream): void {
    const { near, channel } = stream
    this.#incoming.set(`${near.self} ${channel}`, stream)
    this.#told.delete(near.self)
    this.handler.accepted(near.self, channel)
    this.#tellIfConnected(near)
  }

  welcomed(id: string, channel: Channel): void {
    this.handler.opened(id, channel)
    const far = this.wayTo(id, channel).stream?.far
    if (far !== undefined) this.#tellIfConnected(far)
  }

  lostIncoming(stream: Stream | null): void {
    if (stream === null || !this.owns(stream)) return
    this.#incoming.delete(`${stream.near.self} ${stream.channel}`)
    this.lose(stream.near.self)
  }

  lose(id: string): void {
    this.#told.delete(id)
    this.handler.lost(id)
  }

  #tellIfConnected(other: MemoryLinks): void {
    const id = other.self
    if (this.#told.has(id)) return
    for (const channel of CHANNELS) {
      if (!this.wayTo(id, channel).ready || !this.#incoming.has(`${id} ${channel}`)) return
    }
    this.#told.add(id)
    this.handler.connected(id, other.#hello as Hello)
  }
}
