/**
 * What this node knows of another one: who has joined on its connections to us, and what waits for it here.
 *
 * Keeps: one frame at most is not handed to the connection in the order of the queue's turns (the one that overshoots
 * `handedBytesMax`); a member's share of what the connection holds back is known without asking for a callback per frame.
 */
import { FrameError } from '../transport/frame-codec.ts'
import type { Channel } from '../transport/greeting.ts'
import type { MemberId } from '../raft/messages.ts'
import type { LinkedPeer } from '../transport/links.ts'
import { FairQueue, Flow, type QueuedFrame } from './fair-queue.ts'
import type { GroupTransport } from './group-transport.ts'
import { Bundle, type Joined } from './host-frames.ts'

/** One group as far as one other node is concerned. */
export class RemoteMember extends Flow {
  readonly group: GroupTransport
  readonly node: RemoteNode
  /** As it joined on each of its connections to us. */
  readonly joined: Record<Channel, Joined | null> = { control: null, data: null }
  /** Judged by us. */
  fits = false
  /** Judged by them, on our present control connection. */
  acceptsUs = false
  refusesUs = false
  isUp = false
  lossTold = false
  refusalTold: string | null = null
  /** Bytes that the data connection holds back. */
  handedBytes = 0

  constructor(group: GroupTransport, node: RemoteNode) {
    super()
    this.group = group
    this.node = node
  }

  get mayBeUp(): boolean {
    const { control, data } = this.joined
    return this.node.isConnected && control !== null && data !== null && !this.isTwofold && this.fits && this.acceptsUs
  }

  /** Hot: true while the two connections are of different runs of the other process. */
  get isTwofold(): boolean {
    const { control, data } = this.joined
    if (control === null || data === null) return false
    return control.number !== data.number || control.hello.storeId !== data.hello.storeId
  }
}

/** The members of the other node on one of its connections to us. */
export class Roster {
  readonly #byNumber = new Map<number, Joined>()
  readonly #byGroup = new Map<string, Joined>()

  /** A repetition is a wish to be judged again. @throws FrameError */
  add(joined: Joined, groupsMax: number): void {
    const { number, hello } = joined
    if ((this.#byGroup.get(hello.group)?.number ?? number) !== number) fail('a group joins a connection once at a time')
    if ((this.#byNumber.get(number)?.hello.group ?? hello.group) !== hello.group) fail('a number is of one group')
    if (this.#byNumber.size >= groupsMax && !this.#byNumber.has(number)) fail(`a node has at most ${groupsMax} groups`)
    this.#byNumber.set(number, joined)
    this.#byGroup.set(hello.group, joined)
  }

  /** @throws FrameError */
  remove(number: number): Joined {
    const joined = this.#byNumber.get(number) ?? fail(`nobody has joined with number ${number}`)
    this.#byNumber.delete(number)
    this.#byGroup.delete(joined.hello.group)
    return joined
  }

  /** Hot. */
  find(number: number): Joined | undefined {
    return this.#byNumber.get(number)
  }

  ofGroup(group: string): Joined | undefined {
    return this.#byGroup.get(group)
  }

  clear(): void {
    this.#byNumber.clear()
    this.#byGroup.clear()
  }
}

function fail(why: string): never {
  throw new FrameError(why, { code: 'CONTENT' })
}

export class RemoteNode {
  readonly id: MemberId
  readonly rosters: Record<Channel, Roster> = { control: new Roster(), data: new Roster() }
  /** Of the groups that are open here. */
  readonly members = new Map<string, RemoteMember>()
  /** Messages that leave at the end of this pass. */
  readonly bundle = new Bundle()
  flushDue = false
  /** Whether something in the bundle is answered by every living node. */
  bundleAsks = false
  isConnected = false
  readonly #queue = new FairQueue<RemoteMember>()
  /** What was handed to the present data connection, and where each frame ends in that. */
  #handedBytes = 0
  #handed: { member: RemoteMember; bytes: number; endAt: number }[] = []

  constructor(id: MemberId) {
    this.id = id
  }

  push(member: RemoteMember, frame: QueuedFrame): void {
    this.#queue.push(member, frame)
  }

  /** Hot: hands over frames in the order of turns, while the connection takes them. */
  pump(peer: LinkedPeer, handedBytesMax: number): void {
    const way = peer.data
    while (way.ready && !this.#queue.isEmpty && way.queuedBytes < handedBytesMax) {
      const member = this.#queue.next() as RemoteMember
      const frame = this.#queue.take(member)
      way.send(frame.head, frame.payload)
      const bytes = frame.bytes + frame.head.length
      this.#handedBytes += bytes
      if (way.queuedBytes === 0) continue
      member.handedBytes += bytes
      this.#handed.push({ member, bytes, endAt: this.#handedBytes })
    }
    this.settle(peer)
  }

  /** Forgets what has left. */
  settle(peer: LinkedPeer): void {
    const leftBytes = this.#handedBytes - peer.data.queuedBytes
    let gone = 0
    for (const { member, bytes, endAt } of this.#handed) {
      if (endAt > leftBytes) break
      member.handedBytes -= bytes
      gone++
    }
    if (gone > 0) this.#handed.splice(0, gone)
  }

  /** @returns how many frames are dropped. */
  dropMember(member: RemoteMember): number {
    return this.#queue.drop(member)
  }

  /** The data connection is new or gone: nothing of an earlier one counts. @returns how many frames are dropped. */
  restartData(): number {
    for (const { member } of this.#handed) member.handedBytes = 0
    this.#handed = []
    this.#handedBytes = 0
    return this.#queue.dropAll()
  }
}
