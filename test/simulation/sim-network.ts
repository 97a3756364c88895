/**
 * The network between simulated members: dledger's `Transport` for each of them.
 *
 * Two ways to behave, chosen for each simulation:
 *   - streams: in order on each lane of a connection, like TCP; what is lost is lost with its connection;
 *   - datagrams: each message alone is lost, doubled, overtaken or late, even past a restart of its receiver. Harsher than
 *     what the transport promises; Raft must bear it.
 *
 * Keeps: nothing is delivered within `send`; a cut direction delivers nothing; payload bytes are taken at delivery, so a
 * sender that changes them too early is found out.
 */
import type {
  Hello,
  MemberId,
  Message,
  PeerAddress,
  Refusal,
  Transport,
  TransportHandler,
} from '@dledger-ts/dledger/internals'
import type { Decisions } from './decisions.ts'
import { forge } from './forging.ts'
import { type EventQueue, type Process, US_PER_MS } from './sim-clock.ts'

export interface NetworkConditions {
  /** Of 1,000 messages; in streams, of 10,000: each loss costs a connection. */
  readonly lossPerMille: number
  readonly duplicatePerMille: number
  readonly delayUsMin: number
  readonly delayUsMax: number
  /** Of 1,000 pieces of state, and of answers with lost entries, so many arrive with a byte changed. */
  readonly damagePerMille?: number
  /** Of 1,000 messages so many take up to `LATE_US_MAX`. */
  readonly latePerMille: number
}

export const CALM: NetworkConditions = {
  lossPerMille: 0,
  duplicatePerMille: 0,
  delayUsMin: 80,
  delayUsMax: 900,
  latePerMille: 0,
  damagePerMille: 40,
}
/** Of 1,000 answers with lost entries so many are of another history: see forging.ts. */
const FORGED_PER_MILLE = 150
const LATE_US_MAX = 2_500_000
/** About what a message takes on the wire beside its payload. */
const HEADER_BYTES = 100
const RECONNECT_US_MIN = 20_000
const RECONNECT_US_MAX = 120_000

/** One direction of one pair. */
class Link {
  readonly id: number
  messages = 0
  /** Cuts in force; it works when there is none. */
  cuts = 0
  /** Null: as wide as is wanted. */
  bytesPerMs: number | null = null
  /** Until when each lane, control and data, is taken by what was sent: a narrow link sends one after the other. */
  readonly takenUntilUs: [number, number] = [0, 0]
  /** When the last message of each lane arrives: control, data. */
  readonly lastArrivalUs: [number, number] = [0, 0]

  constructor(id: number) {
    this.id = id
  }
}

/** Both directions of one pair. */
class Connection {
  readonly id: number
  up = false
  /** Both ends were told that it works and not yet that it does not: a machine that goes off says nothing. */
  isBelieved = false
  /** What is said is heard: false from another disk on until both have let each other in. */
  greeted = true
  /** Changes with every other disk: a message to the former one never arrives at the new one. */
  disks = 0
  /** Changes with every reset: what is under way on an earlier one is lost. */
  generation = 0
  attempts = 0
  attemptScheduled = false

  constructor(id: number) {
    this.id = id
  }
}

interface Host {
  readonly name: MemberId
  readonly process: Process
  /** Null while no process listens. */
  listener: {
    readonly hello: Hello
    readonly handler: TransportHandler
    readonly incarnation: number
    /** Whom it talks to; null: anybody. */
    peers: readonly MemberId[] | null
  } | null
  /** False when the machine is off: nobody answers, not even with a reset. */
  machineIsOn: boolean
}

export interface SimNetworkOptions {
  readonly events: EventQueue
  readonly decisions: Decisions
  readonly streams: boolean
  readonly hosts: readonly { readonly name: MemberId; readonly process: Process }[]
  /** Every message as it is sent, before anything happens to it. */
  readonly onSent: (from: number, message: Message) => void
  /** Right after the receiver has handled it. */
  readonly onDelivered: (to: number, message: Message) => void
  /** May end the sending process by throwing. */
  readonly beforeSend: (from: number) => void
}

export class SimNetwork {
  readonly #options: SimNetworkOptions
  readonly #hosts: Host[]
  readonly #links: Link[] = []
  readonly #connections: Connection[] = []
  readonly #placeOf = new Map<MemberId, number>()
  conditions: NetworkConditions = CALM
  lost = 0
  duplicated = 0

  constructor(options: SimNetworkOptions) {
    this.#options = options
    this.#hosts = options.hosts.map(({ name, process }) => ({ name, process, listener: null, machineIsOn: true }))
    const count = this.#hosts.length
    for (let i = 0; i < count * count; i++) {
      this.#links.push(new Link(i))
      this.#connections.push(new Connection(i))
    }
    this.#hosts.forEach((host, place) => this.#placeOf.set(host.name, place))
  }

  transportOf(place: number): Transport {
    return new SimTransport(this, place, (this.#hosts[place] as Host).process)
  }

  // ------------------------------------------------------------------------------------------------ faults

  cut(from: number, to: number): void {
    this.#link(from, to).cuts++
  }

  heal(from: number, to: number): void {
    const link = this.#link(from, to)
    if (link.cuts > 0) link.cuts--
  }

  /** One direction sends no more than so many bytes in a millisecond from now on; null: any number. */
  setBandwidth(from: number, to: number, bytesPerMs: number | null): void {
    this.#link(from, to).bytesPerMs = bytesPerMs
  }

  healAll(): void {
    this.conditions = CALM
    for (const link of this.#links) {
      link.cuts = 0
      link.bytesPerMs = null
    }
  }

  /** Resets the connection between two members: both are told, what is under way is lost. */
  reset(a: number, b: number): void {
    const connection = this.#connection(a, b)
    if (!connection.up) return
    this.#breakConnection(connection, a, b)
  }

  /** The process of `place` is gone; its machine, if on, resets its connections. */
  processDied(place: number, machineIsOn: boolean): void {
    const host = this.#hosts[place] as Host
    host.listener = null
    host.machineIsOn = machineIsOn
    for (let other = 0; other < this.#hosts.length; other++) {
      if (other === place) continue
      const connection = this.#connection(place, other)
      if (!connection.up) continue
      if (machineIsOn && this.#link(place, other).cuts === 0) this.#breakConnection(connection, place, other)
      else {
        connection.up = false
        connection.generation++
        this.#scheduleAttempt(place, other)
      }
    }
  }

  // ------------------------------------------------------------------------------------------------ for SimTransport

  listen(place: number, hello: Hello, handler: TransportHandler): void {
    const host = this.#hosts[place] as Host
    host.listener = { hello, handler, incarnation: host.process.incarnation, peers: null }
    host.machineIsOn = true
    for (let other = 0; other < this.#hosts.length; other++) if (other !== place) this.#scheduleAttempt(place, other)
  }

  setPeers(place: number, peers: readonly MemberId[]): void {
    const listener = this.#listenerOf(place)
    if (listener === null) return
    listener.peers = peers
    for (let other = 0; other < this.#hosts.length; other++) {
      if (other === place) continue
      const connection = this.#connection(place, other)
      if (!peers.includes((this.#hosts[other] as Host).name)) {
        if (connection.up) this.#breakConnection(connection, place, other)
      } else this.#scheduleAttempt(place, other)
    }
  }

  /** It is another store from now on: what is under way to or from the former one is lost. */
  renew(place: number, hello: Hello): void {
    const host = this.#hosts[place] as Host
    const listener = this.#listenerOf(place)
    if (listener === null) return
    host.listener = { ...listener, hello }
    this.greetAnew(place)
  }

  /** Another disk: nobody hears it, nor is heard, before they have greeted. */
  greetAnew(place: number): void {
    for (let other = 0; other < this.#hosts.length; other++) {
      if (other === place) continue
      const connection = this.#connection(place, other)
      connection.greeted = false
      connection.disks++
      connection.generation++
      if (connection.up) this.#breakConnection(connection, place, other)
      else this.#scheduleAttempt(place, other)
    }
  }

  later(place: number, callback: () => void): void {
    this.#options.events.schedule(50, 'transport', (this.#hosts[place] as Host).process, callback)
  }

  stopListening(place: number): void {
    this.processDied(place, true)
  }

  send(from: number, message: Message, payload: readonly Buffer[] | null): void {
    const to = this.#placeOf.get(message.to)
    if (to === undefined || to === from) throw new Error(`a message to ${message.to} has nowhere to go`)
    this.#options.beforeSend(from)
    this.#options.onSent(from, message)
    const link = this.#link(from, to)
    const connection = this.#connection(from, to)
    const counter = link.messages++
    const { conditions } = this
    const { decisions, streams } = this.#options
    if (link.cuts > 0 || !connection.greeted || (streams && !connection.up)) {
      this.lost++
      return
    }
    if (streams) {
      if (
        conditions.lossPerMille > 0 &&
        decisions.below('stream loss', link.id, counter, 10_000) < conditions.lossPerMille
      ) {
        this.lost++
        this.#breakConnection(connection, from, to)
        return
      }
      this.#deliverInOrder(link, connection, counter, conditions, { from, to, message, payload })
      return
    }
    if (decisions.chance('loss', link.id, counter, conditions.lossPerMille)) {
      this.lost++
      return
    }
    this.#deliverAlone(link, counter, conditions, { from, to, message, payload })
    if (decisions.chance('duplicate', link.id, counter, conditions.duplicatePerMille)) {
      this.duplicated++
      this.#deliverAlone(link, counter + 500_000_000, conditions, { from, to, message, payload })
    }
  }

  // ------------------------------------------------------------------------------------------------ delivery

  #deliverInOrder(
    link: Link,
    connection: Connection,
    counter: number,
    conditions: NetworkConditions,
    mail: Mail,
  ): void {
    const { events } = this.#options
    const lane = laneOf(mail.message)
    const sentUs = events.nowUs + transmissionUs(link, lane, mail, events.nowUs)
    const arrivalUs = Math.max(link.lastArrivalUs[lane], sentUs + this.#delayUs(link, counter, conditions))
    link.lastArrivalUs[lane] = arrivalUs
    const { generation } = connection
    const receiver = (this.#hosts[mail.to] as Host).process
    events.schedule(arrivalUs - events.nowUs, 'message', receiver, () => {
      if (connection.generation === generation) this.#hand(link, mail)
    })
  }

  #deliverAlone(link: Link, counter: number, conditions: NetworkConditions, mail: Mail): void {
    const { events } = this.#options
    const connection = this.#connection(mail.from, mail.to)
    const { disks } = connection
    const sendingUs = transmissionUs(link, laneOf(mail.message), mail, events.nowUs)
    events.schedule(sendingUs + this.#delayUs(link, counter, conditions), 'arrival', null, () => {
      if (connection.disks === disks)
        events.schedule(0, 'message', (this.#hosts[mail.to] as Host).process, () => this.#hand(link, mail))
    })
  }

  #hand(link: Link, mail: Mail): void {
    const listener = this.#listenerOf(mail.to)
    if (listener === null) return
    if (link.cuts > 0) {
      this.lost++
      return
    }
    listener.handler.message(
      mail.message,
      mail.payload === null ? null : this.#arrived(link, mail.message, mail.payload),
    )
    this.#options.onDelivered(mail.to, mail.message)
  }

  /** One buffer, as a socket would give it; now and then damaged on its way, or wrong from the beginning. */
  #arrived(link: Link, message: Message, payload: readonly Buffer[]): Buffer {
    const bytes = Buffer.concat(payload)
    const { decisions } = this.#options
    const counter = link.messages * 16 + (bytes.length % 16)
    if (bytes.length === 0) return bytes
    if (message.type === 'RepairResponse' && decisions.chance('forged', link.id, counter, FORGED_PER_MILLE)) {
      forge(bytes, decisions.below('other history', link.id, counter, 0x1_0000_0000))
      return bytes
    }
    const perMille = this.conditions.damagePerMille ?? 0
    const mayBeDamaged = message.type === 'InstallPiece' || message.type === 'RepairResponse'
    if (!mayBeDamaged || !decisions.chance('damage', link.id, counter, perMille)) return bytes
    const at = decisions.below('damaged byte', link.id, counter, bytes.length)
    bytes[at] = (bytes[at] as number) ^ 0x10
    return bytes
  }

  #delayUs(link: Link, counter: number, conditions: NetworkConditions): number {
    const { decisions } = this.#options
    if (decisions.chance('late', link.id, counter, conditions.latePerMille)) {
      return decisions.below('late delay', link.id, counter, LATE_US_MAX)
    }
    const spread = conditions.delayUsMax - conditions.delayUsMin
    return conditions.delayUsMin + decisions.below('delay', link.id, counter, spread + 1)
  }

  // ------------------------------------------------------------------------------------------------ connections

  #breakConnection(connection: Connection, a: number, b: number): void {
    connection.up = false
    connection.generation++
    this.#tellBothLost(connection, a, b)
    this.#scheduleAttempt(a, b)
  }

  #tellBothLost(connection: Connection, a: number, b: number): void {
    connection.isBelieved = false
    // What waited to be sent is lost with it.
    this.#link(a, b).takenUntilUs.fill(0)
    this.#link(b, a).takenUntilUs.fill(0)
    this.#tellLost(a, b)
    this.#tellLost(b, a)
  }

  #tellLost(place: number, peer: number): void {
    const host = this.#hosts[place] as Host
    if (this.#listenerOf(place) === null) return
    const delayUs = this.#options.decisions.below('reset', place * 16 + peer, this.#link(place, peer).messages, 500)
    this.#options.events.schedule(delayUs, 'lost', host.process, () => {
      this.#listenerOf(place)?.handler.peerLost((this.#hosts[peer] as Host).name)
    })
  }

  #scheduleAttempt(a: number, b: number): void {
    const connection = this.#connection(a, b)
    if (connection.up || connection.attemptScheduled) return
    connection.attemptScheduled = true
    const { decisions, events } = this.#options
    const counter = connection.attempts++
    const first = counter === 0
    const delayUs = first
      ? decisions.below('connect', connection.id, counter, 2_000)
      : RECONNECT_US_MIN + decisions.below('connect', connection.id, counter, RECONNECT_US_MAX - RECONNECT_US_MIN)
    events.schedule(delayUs, 'connect', null, () => {
      connection.attemptScheduled = false
      this.#attempt(connection, a, b)
    })
  }

  #attempt(connection: Connection, a: number, b: number): void {
    if (connection.up) return
    const hostA = this.#hosts[a] as Host
    const hostB = this.#hosts[b] as Host
    const [listenerA, listenerB] = [this.#listenerOf(a), this.#listenerOf(b)]
    const [dialsA, dialsB] = [dials(listenerA, hostB.name), dials(listenerB, hostA.name)]
    // The next one that listens, or wants the other, tries again.
    if (!dialsA && !dialsB) return
    const cut = this.#link(a, b).cuts > 0 || this.#link(b, a).cuts > 0
    if (cut || hostA.process.paused || hostB.process.paused) return this.#scheduleAttempt(a, b)
    if (listenerA !== null && listenerB !== null) {
      const refusal = listenerA.handler.judge(helloOf(listenerB)) ?? listenerB.handler.judge(helloOf(listenerA))
      if (refusal !== null) {
        connection.greeted = false
        // Who dials anew has given up what it had, silently as that may have ended.
        if (connection.isBelieved) this.#tellBothLost(connection, a, b)
        this.#tellRefused(a, b, refusal)
        this.#tellRefused(b, a, refusal)
        return this.#scheduleAttempt(a, b)
      }
      // Who does not dial the other yet is asked again.
      if (!dials(listenerA, hostB.name) || !dials(listenerB, hostA.name)) return this.#scheduleAttempt(a, b)
      connection.greeted = true
      connection.up = true
      connection.isBelieved = true
      connection.generation++
      this.#tellConnected(connection, a, b)
      this.#tellConnected(connection, b, a)
      return
    }
    if (dialsA && hostB.machineIsOn) this.#tellLost(a, b)
    if (dialsB && hostA.machineIsOn) this.#tellLost(b, a)
    this.#scheduleAttempt(a, b)
  }

  #tellRefused(place: number, peer: number, refusal: Refusal): void {
    this.#options.events.schedule(0, 'refused', (this.#hosts[place] as Host).process, () => {
      this.#listenerOf(place)?.handler.peerRefused((this.#hosts[peer] as Host).name, refusal)
    })
  }

  #tellConnected(connection: Connection, place: number, peer: number): void {
    const { generation } = connection
    const listener = this.#listenerOf(peer)
    if (listener === null) return
    const hello = helloOf(listener)
    this.#options.events.schedule(0, 'connected', (this.#hosts[place] as Host).process, () => {
      if (connection.generation !== generation) return
      this.#listenerOf(place)?.handler.peerConnected((this.#hosts[peer] as Host).name, hello)
    })
  }

  #listenerOf(place: number): Host['listener'] {
    const host = this.#hosts[place] as Host
    return host.listener !== null && host.listener.incarnation === host.process.incarnation ? host.listener : null
  }

  #link(from: number, to: number): Link {
    return this.#links[from * this.#hosts.length + to] as Link
  }

  #connection(a: number, b: number): Connection {
    return this.#connections[Math.min(a, b) * this.#hosts.length + Math.max(a, b)] as Connection
  }
}

function dials(listener: Host['listener'], peer: MemberId): boolean {
  return listener !== null && listener.peers?.includes(peer) !== false
}

/** As it is said now. */
function helloOf({ hello, handler }: NonNullable<Host['listener']>): Hello {
  return { ...hello, standing: handler.standing?.() ?? null }
}

function laneOf({ type }: Message): 0 | 1 {
  return type === 'AppendEntries' || type === 'AppendEntriesResponse' || type.startsWith('Install') ? 1 : 0
}

/** How long it takes until the last byte of `mail` is on its way; the lanes do not wait for each other. */
function transmissionUs(link: Link, lane: 0 | 1, { payload }: Mail, nowUs: number): number {
  if (link.bytesPerMs === null) return 0
  let bytes = HEADER_BYTES
  if (payload !== null) for (const part of payload) bytes += part.length
  const from = Math.max(nowUs, link.takenUntilUs[lane])
  link.takenUntilUs[lane] = from + Math.ceil((bytes * US_PER_MS) / link.bytesPerMs)
  return link.takenUntilUs[lane] - nowUs
}

interface Mail {
  readonly from: number
  readonly to: number
  readonly message: Message
  readonly payload: readonly Buffer[] | null
}

/** The transport of one incarnation of one member; after its death it does nothing. */
class SimTransport implements Transport {
  readonly #network: SimNetwork
  readonly #place: number
  readonly #process: Process
  readonly #incarnation: number
  #closed = false

  constructor(network: SimNetwork, place: number, owner: Process) {
    this.#network = network
    this.#place = place
    this.#process = owner
    this.#incarnation = owner.incarnation
  }

  start(hello: Hello, handler: TransportHandler, callback: (error: Error | null) => void): void {
    this.#later(() => {
      this.#network.listen(this.#place, hello, handler)
      callback(null)
    })
  }

  send(message: Message, payload: readonly Buffer[] | null): void {
    if (this.#lives()) this.#network.send(this.#place, message, payload)
  }

  setPeers(peers: readonly PeerAddress[]): void {
    if (this.#lives()) {
      this.#network.setPeers(
        this.#place,
        peers.map((peer) => peer.id),
      )
    }
  }

  renew(hello: Hello): void {
    if (this.#lives()) this.#network.renew(this.#place, hello)
  }

  queuedBytes(): number {
    return 0
  }

  close(callback: () => void): void {
    if (!this.#lives()) return
    this.#closed = true
    this.#network.stopListening(this.#place)
    this.#later(callback)
  }

  #later(callback: () => void): void {
    this.#network.later(this.#place, callback)
  }

  #lives(): boolean {
    return !this.#closed && this.#incarnation === this.#process.incarnation
  }
}
