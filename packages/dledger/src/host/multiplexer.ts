/**
 * Many groups over one set of connections between nodes.
 *
 *   GroupTransport of each group ──►  Multiplexer  ──►  Links: control and data, one pair for each pair of nodes
 *
 * A group's member is connected with another node's when all connections between the nodes work, each side has joined on both
 * channels, and each has accepted the other. What differs between two members (file size, store identity, …) refuses that
 * group alone; the refused side asks again now and then. A group that one side does not have is simply not there.
 *
 * Keeps:
 *   M1  a message reaches the member of its group and no other, as words of the member that joined on that very connection.
 *   M2  messages without a payload leave in one frame for each node and pass of the event loop, in the order of sending.
 *   M3  a group's data waits for another group's only as long as turns of equal bytes take; nothing on control waits for data.
 *   M4  what one group does (refuse, stop, send too much) closes no connection; what is no frame closes the one it came on.
 *   M5  a closed group hears nothing more.
 */
import { assert, type Clock, type Logger } from '@dledger-ts/base'
import { DLedgerError } from '../errors.ts'
import type { MemberId, Message } from '../raft/messages.ts'
import { encodeControl, type Scalar } from '../transport/control-part.ts'
import { encodeFrame, FrameError } from '../transport/frame-codec.ts'
import { type Channel, WIRE_VERSION, whyUnfit } from '../transport/greeting.ts'
import type { Links, LinksHandler } from '../transport/links.ts'
import {
  answersData,
  asksOnData,
  type Correspondents,
  isAnswered,
  isData,
  payloadBytesOf,
} from '../transport/message-codec.ts'
import type { Hello, Refusal } from '../transport/transport.ts'
import { GroupTransport } from './group-transport.ts'
import {
  acceptedValues,
  type HostFrame,
  hostFrameOf,
  joinValues,
  leaveValues,
  loadedValues,
  refusedValues,
} from './host-frames.ts'
import type { HostLimits } from './host-limits.ts'
import { RemoteMember, RemoteNode } from './remote-node.ts'

/** In place of a group's name in the hello of a node: a transport of one group that dials a node is told what it reached. */
const MANY_GROUPS = '*'

export interface MultiplexerOptions {
  readonly self: MemberId
  readonly nodes: readonly MemberId[]
  readonly links: Links<HostFrame>
  readonly clock: Clock
  readonly logger: Logger
  readonly limits: HostLimits
  /** Of this run of the process. */
  readonly runId: string
}

export interface MultiplexerStats {
  framesSent: number
  framesReceived: number
  messagesSent: number
  messagesReceived: number
  /** Not connected, or beyond a limit. */
  messagesDropped: number
}

const CHANNELS: readonly Channel[] = ['control', 'data']

export class Multiplexer implements LinksHandler<HostFrame> {
  readonly self: MemberId
  readonly #options: MultiplexerOptions
  readonly #links: Links<HostFrame>
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #limits: HostLimits
  readonly #nodes = new Map<MemberId, RemoteNode>()
  readonly #groups = new Map<string, GroupTransport>()
  readonly #stats: MultiplexerStats = {
    framesSent: 0,
    framesReceived: 0,
    messagesSent: 0,
    messagesReceived: 0,
    messagesDropped: 0,
  }
  #lastNumber = 0
  #started = false
  #closed = false
  #cancelAskAgain: (() => void) | null = null

  constructor(options: MultiplexerOptions) {
    this.#options = options
    this.self = options.self
    this.#links = options.links
    this.#clock = options.clock
    this.#logger = options.logger
    this.#limits = options.limits
    this.setNodes(options.nodes)
  }

  start(callback: (error: Error | null) => void): void {
    assert(!this.#started, 'a multiplexer starts once')
    this.#started = true
    const hello: Hello = {
      wireVersion: WIRE_VERSION,
      group: MANY_GROUPS,
      member: this.self,
      storeId: this.#options.runId,
      fileBytes: 0,
      advertised: '',
      incarnation: 0,
      formerIncarnations: [],
      leaseReads: false,
      standing: null,
    }
    this.#links.start(hello, this, callback)
  }

  /** Before the links know them: every group has its member on a node that is dialed. */
  setNodes(ids: readonly MemberId[]): void {
    for (const [id, node] of this.#nodes) {
      if (ids.includes(id)) continue
      this.#nodes.delete(id)
      this.#stats.messagesDropped += node.restartData()
      // The links say nothing of whom they were told to leave.
      for (const member of Array.from(node.members.values())) {
        member.isUp = false
        this.#tellLost(member)
        member.group.removeMember(id)
      }
    }
    for (const id of ids) {
      if (id === this.self || this.#nodes.has(id)) continue
      const node = new RemoteNode(id)
      this.#nodes.set(id, node)
      for (const group of this.#groups.values()) if (group.isLive) this.#attach(group, node)
    }
  }

  /** The transport of one group, to be started by its member. */
  transport(group: string): GroupTransport {
    return new GroupTransport(this, group, ++this.#lastNumber)
  }

  stats(): Readonly<MultiplexerStats> {
    return { ...this.#stats }
  }

  /** Which nodes all four connections work with. */
  connectedNodes(): MemberId[] {
    return [...this.#nodes.values()].filter((node) => node.isConnected).map((node) => node.id)
  }

  /** Once every group has closed its transport. */
  close(callback: () => void): void {
    this.#closed = true
    this.#cancelAskAgain?.()
    this.#links.close(callback)
  }

  // ------------------------------------------------------------------------------------------------ called by groups

  /** @internal */
  defer(callback: () => void): void {
    this.#clock.defer(callback)
  }

  /** @internal */
  join(group: GroupTransport, callback: (error: Error | null) => void): void {
    const why = this.#whyNoJoin(group)
    if (why !== null) {
      this.#clock.defer(() => callback(new DLedgerError(why, { code: 'INVALID', what: why })))
      return
    }
    this.#groups.set(group.name, group)
    this.#clock.defer(() => {
      if (group.isClosed) return
      group.isLive = true
      callback(null)
      for (const node of this.#nodes.values()) if (!group.isClosed) this.#attach(group, node)
    })
  }

  #whyNoJoin(group: GroupTransport): string | null {
    if (this.#closed) return `node ${this.self} is closed`
    if (this.#groups.has(group.name)) return `group ${group.name} is open on node ${this.self} already`
    const { groupsMax } = this.#limits
    return this.#groups.size < groupsMax ? null : `node ${this.self} has ${groupsMax} groups already`
  }

  #attach(group: GroupTransport, node: RemoteNode): void {
    if (node.members.has(group.name)) return
    const member = new RemoteMember(group, node)
    node.members.set(group.name, member)
    group.addMember(member)
    for (const channel of CHANNELS) {
      this.#say(node, channel, joinValues(group.number, group.hello))
      member.joined[channel] = node.rosters[channel].ofGroup(group.name) ?? null
    }
    if (member.joined.control !== null) this.#judge(member)
    this.#settle(member)
  }

  /** @internal */
  leave(group: GroupTransport): void {
    if (this.#groups.get(group.name) !== group) return
    this.#groups.delete(group.name)
    for (const member of group.members.values()) {
      const { node } = member
      // Its last words, such as a hand-over, before it goes.
      this.#flush(node)
      this.#stats.messagesDropped += node.dropMember(member)
      node.members.delete(group.name)
      for (const channel of CHANNELS) this.#say(node, channel, leaveValues(group.number))
    }
  }

  /** @internal Who is let in may have changed. Not at once: it may change while somebody is judged. */
  judgeAgain(group: GroupTransport): void {
    if (group.isToJudge) return
    group.isToJudge = true
    this.#clock.defer(() => {
      group.isToJudge = false
      if (this.#closed || group.isClosed) return
      for (const member of group.members.values()) {
        if (member.joined.control === null) continue
        this.#judge(member)
        this.#settle(member)
      }
    })
  }

  /** @internal Greets every node anew, under the hello that the group has now. */
  rejoin(group: GroupTransport): void {
    if (this.#groups.get(group.name) !== group) return
    for (const member of Array.from(group.members.values())) {
      const { node } = member
      this.#flush(node)
      this.#stats.messagesDropped += node.dropMember(member)
      node.members.delete(group.name)
      group.removeMember(node.id)
      for (const channel of CHANNELS) this.#say(node, channel, leaveValues(group.number))
      this.#attach(group, node)
    }
  }

  /** @internal Hot. */
  send(member: RemoteMember | undefined, message: Message, payload: readonly Buffer[] | null): void {
    let payloadBytes = 0
    if (payload !== null) for (const part of payload) payloadBytes += part.length
    assert(payloadBytes === payloadBytesOf(message), 'a message names the bytes that go with it')
    if (member === undefined || !member.isUp) {
      this.#stats.messagesDropped++
      return
    }
    if (isData(message)) this.#queueLoaded(member, message, payloadBytes === 0 ? null : payload, payloadBytes)
    else this.#bundle(member, message)
  }

  /** @internal Bytes of data that have not left. */
  queuedBytes(member: RemoteMember): number {
    const peer = this.#links.peer(member.node.id)
    if (peer === undefined) return 0
    member.node.settle(peer)
    return member.bytes + member.handedBytes
  }

  #queueLoaded(member: RemoteMember, message: Message, payload: readonly Buffer[] | null, payloadBytes: number): void {
    const { payloadBytesMax, groupQueuedBytesMax, handedBytesMax } = this.#limits
    const { node } = member
    const peer = this.#links.peer(node.id)
    const tooLong = payloadBytes > payloadBytesMax
    if (tooLong) {
      const { name } = member.group
      this.#logger.error(
        { group: name, peer: node.id, payloadBytes, payloadBytesMax },
        'a message is too long to be sent',
      )
    }
    const fitsQueue = member.bytes === 0 || member.bytes + payloadBytes <= groupQueuedBytesMax
    if (peer === undefined || !peer.data.ready || tooLong || !fitsQueue) {
      this.#stats.messagesDropped++
      return
    }
    const head = encodeFrame(encodeControl(loadedValues(member.group.number, message)), payload)
    node.push(member, { head, payload, bytes: payloadBytes + head.length })
    this.#stats.messagesSent++
    this.#stats.framesSent++
    node.pump(peer, handedBytesMax)
    if (isAnswered(message)) peer.asked(this.#clock.monotonicMs())
    if (asksOnData(message)) peer.askedOnData(this.#clock.monotonicMs())
  }

  #bundle(member: RemoteMember, message: Message): void {
    const { controlBytesMax, queuedControlBytesMax } = this.#limits
    const { node, group } = member
    const way = this.#links.peer(node.id)?.control
    if (way === undefined || !way.ready || way.queuedBytes + node.bundle.bytes >= queuedControlBytesMax) {
      this.#stats.messagesDropped++
      return
    }
    if (!node.bundle.add(group.number, message, controlBytesMax)) {
      this.#flush(node)
      node.bundle.add(group.number, message, controlBytesMax)
    }
    this.#stats.messagesSent++
    if (isAnswered(message)) node.bundleAsks = true
    if (node.flushDue) return
    node.flushDue = true
    this.#clock.defer(() => {
      node.flushDue = false
      this.#flush(node)
    })
  }

  /** What is gathered leaves now, not at the end of this pass: what has arrived may make that long. */
  flush(): void {
    for (const node of this.#nodes.values()) this.#flush(node)
  }

  #flush(node: RemoteNode): void {
    if (node.bundle.isEmpty) return
    this.#say(node, 'control', node.bundle.take())
    if (node.bundleAsks) this.#links.peer(node.id)?.asked(this.#clock.monotonicMs())
    node.bundleAsks = false
  }

  /** Nothing is said where nothing is connected: what matters is said when it is. */
  #say(node: RemoteNode, channel: Channel, values: readonly Scalar[]): void {
    const way = this.#links.peer(node.id)?.[channel]
    if (way === undefined || !way.ready) return
    way.send(encodeFrame(encodeControl(values), null), null)
    this.#stats.framesSent++
  }

  // ------------------------------------------------------------------------------------------------ called by the links

  judge(): null {
    return null
  }

  standing(): null {
    return null
  }

  read(channel: Channel, between: Correspondents, values: readonly unknown[], payloadBytes: number): HostFrame {
    const roster = this.#nodes.get(between.from)?.rosters[channel]
    return hostFrameOf(channel, between, values, payloadBytes, (number) => roster?.find(number))
  }

  received(from: MemberId, channel: Channel, frame: HostFrame, payload: Buffer | null): void {
    const node = this.#nodes.get(from)
    if (node === undefined || this.#closed) return
    this.#stats.framesReceived++
    switch (frame.kind) {
      case 'JOIN': {
        const { joined } = frame
        node.rosters[channel].add(joined, this.#limits.groupsMax)
        const member = node.members.get(joined.hello.group)
        if (member === undefined) return
        member.joined[channel] = joined
        if (channel === 'control') this.#judge(member)
        this.#settle(member)
        return
      }
      case 'LEAVE': {
        const member = node.members.get(node.rosters[channel].remove(frame.number).hello.group)
        if (member === undefined) return
        member.joined[channel] = null
        if (channel === 'control') {
          member.fits = false
          member.acceptsUs = false
          member.refusesUs = false
        }
        member.isUp = false
        this.#tellLost(member)
        return
      }
      case 'ACCEPTED':
      case 'REFUSED': {
        if (channel !== 'control') throw new FrameError('an answer goes on the control channel', { code: 'CONTENT' })
        const member = node.members.get(frame.group)
        // Meant for a member that has left since.
        if (member === undefined || member.group.number !== frame.number) return
        member.acceptsUs = frame.kind === 'ACCEPTED'
        member.refusesUs = !member.acceptsUs
        if (frame.kind === 'REFUSED') {
          member.isUp = false
          this.#askAgainLater()
          this.#tellRefused(member, frame.refusal)
        } else this.#settle(member)
        return
      }
      case 'MESSAGES':
        for (const { joined, message } of frame.deliveries) {
          // One message may make its group close another.
          const member = node.members.get(joined.hello.group)
          // Each channel has its own JOIN, so a frame is always explained; but a member is judged by the one on control, and what
          // comes on data may arrive before that. Until it is judged nothing of it is heard: lost, as any message may be.
          if (member === undefined || member.joined[channel] !== joined || !member.fits || member.isTwofold) continue
          member.lossTold = false
          this.#stats.messagesReceived++
          if (answersData(message)) this.#links.peer(from)?.answeredData()
          member.group.handler.message(message, payload)
        }
    }
  }

  opened(id: MemberId, channel: Channel): void {
    const node = this.#nodes.get(id)
    if (node === undefined) return
    if (channel === 'data') this.#stats.messagesDropped += node.restartData()
    for (const member of node.members.values()) {
      const { group } = member
      this.#say(node, channel, joinValues(group.number, group.hello))
      if (channel === 'data') continue
      member.acceptsUs = false
      member.refusesUs = false
      member.isUp = false
      if (member.joined.control !== null) this.#judge(member)
    }
  }

  accepted(id: MemberId, channel: Channel): void {
    const node = this.#nodes.get(id)
    if (node === undefined) return
    node.rosters[channel].clear()
    for (const member of node.members.values()) {
      member.joined[channel] = null
      if (channel === 'control') member.fits = false
      member.isUp = false
    }
  }

  drained(id: MemberId, channel: Channel): void {
    const peer = this.#links.peer(id)
    if (channel === 'data' && peer !== undefined) this.#nodes.get(id)?.pump(peer, this.#limits.handedBytesMax)
  }

  connected(id: MemberId): void {
    const node = this.#nodes.get(id)
    if (node === undefined) return
    node.isConnected = true
    for (const member of node.members.values()) this.#settle(member)
  }

  lost(id: MemberId): void {
    const node = this.#nodes.get(id)
    if (node === undefined) return
    node.isConnected = false
    for (const member of node.members.values()) {
      member.isUp = false
      this.#tellLost(member)
    }
  }

  refused(): void {
    // Told by the links to the log: the nodes do not fit, which is no fault of any group.
  }

  // ------------------------------------------------------------------------------------------------ one member

  /** Holds their hello against ours and answers. */
  #judge(member: RemoteMember): void {
    const { group, node } = member
    const { number, hello } = member.joined.control as NonNullable<RemoteMember['joined']['control']>
    const refusal = whyUnfit(group.hello, hello, null) ?? group.handler.judge(hello)
    member.fits = refusal === null
    const answer = refusal === null ? acceptedValues(number, group.name) : refusedValues(number, group.name, refusal)
    this.#say(node, 'control', answer)
    if (refusal === null) return
    if (member.isUp) this.#tellLost(member)
    member.isUp = false
    this.#tellRefused(member, refusal)
  }

  #settle(member: RemoteMember): void {
    if (this.#closed || member.isUp || member.group.isClosed || !member.mayBeUp) return
    member.isUp = true
    member.lossTold = false
    member.refusalTold = null
    const { hello } = member.joined.control as NonNullable<RemoteMember['joined']['control']>
    member.group.handler.peerConnected(member.node.id, hello)
  }

  #tellLost(member: RemoteMember): void {
    if (this.#closed || member.group.isClosed || member.lossTold) return
    member.lossTold = true
    member.group.handler.peerLost(member.node.id)
  }

  #tellRefused(member: RemoteMember, refusal: Refusal): void {
    const { why } = refusal
    if (this.#closed || member.group.isClosed || member.refusalTold === why) return
    member.refusalTold = why
    this.#logger.warn({ group: member.group.name, peer: member.node.id, why }, 'a member is refused')
    member.group.handler.peerRefused(member.node.id, refusal)
  }

  /** A refusal may end: a replaced store may be taken in again, a setting corrected by a restart of the other side. */
  #askAgainLater(): void {
    if (this.#cancelAskAgain !== null || this.#closed) return
    this.#cancelAskAgain = this.#clock.after(this.#limits.reconnectMaxMs, () => {
      this.#cancelAskAgain = null
      for (const node of this.#nodes.values()) {
        for (const { refusesUs, group } of node.members.values()) {
          if (refusesUs) this.#say(node, 'control', joinValues(group.number, group.hello))
        }
      }
    })
  }
}
