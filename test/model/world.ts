/**
 * A group of whole brokers — request processing, store, log, all production code — on the simulator's clock, network and drives, with
 * clients that reach them over simulated sockets.
 *
 * Brokers and stores use promises, which the simulator knows nothing of: one event runs, then the event loop turns until no promise
 * has anything left to do, and only then the next event runs. No thread and no file is in it, so one turn is always enough.
 *
 * Keeps:
 *   - nothing happens but by an event of the queue; the same seed and steps give the same events (`hash`);
 *   - what a process that died has asked for is never told to another one.
 */
import { dirname } from 'node:path'
import { AssertionError, type Clock, CodedError, type Logger } from '@dledger-ts/base'
import { Broker, type BrokerConfig, parseConfig } from '@dledger-ts/broker'
import { type DirectoryOwner, isDiskFull } from '@dledger-ts/dledger'
import { MemoryMetadata } from '@dledger-ts/store'
import { Decisions } from '../simulation/decisions.ts'
import { EPOCH_MS, EventQueue, type Process, SimClock, type SimEvent, US_PER_MS } from '../simulation/sim-clock.ts'
import { SimDisk } from '../simulation/sim-disk.ts'
import { SimDrive } from '../simulation/sim-drive.ts'
import { SimNetwork } from '../simulation/sim-network.ts'
import { faultyMetadata, type Planted } from './planted.ts'
import { MEMBERS } from './shape.ts'
import { type SimHost, SimNet } from './sim-sockets.ts'

const BROKER_PORT = 10_911
const LOG_PORT = 40_911
const DIRECTORY = '/srv/store'
// Records that lie side by side in memory are kept as one (store/src/hot-records.ts): buffers of Node's pool do so by chance.
Buffer.poolSize = 0

/** How often it is looked whether what is waited for is there. */
const LOOK_EVERY_US = 2_000
/** Events of one microsecond; a hundred are many. */
const EVENTS_OF_MOMENT_MAX = 20_000
/** More than any drawn step needs; whoever waits longer waits for what never comes. */
const PATIENCE_MS = 120_000

/** What comes with every change of leaders, and with every stop. */
const NO_ERRORS: ReadonlySet<string> = new Set(['NOT_LEADER', 'TIMEOUT', 'BUSY', 'CLOSED', 'CONNECTION_LOST'])

export type Death = 'kill' | 'power'

/** One broker through all its lives. */
export class BrokerMember implements Process, SimHost {
  readonly id: number
  readonly name: string
  readonly host: string
  readonly drive: SimDrive
  readonly process: Process = this
  readonly heldBack: SimEvent[] = []
  incarnation = 1
  paused = false
  machineIsOn = true
  boots = 0
  broker: Broker | null = null
  /** It serves: `start` has ended. */
  isUp = false
  metadata: MemoryMetadata

  constructor(id: number, events: EventQueue, decisions: Decisions) {
    this.id = id
    this.name = `n${id}`
    this.host = hostOf(id)
    this.drive = new SimDrive(id, decisions)
    this.metadata = new MemoryMetadata(plainClock(events, this))
  }

  get address(): string {
    return `${this.host}:${BROKER_PORT}`
  }

  owner(): DirectoryOwner {
    const { incarnation } = this
    const own = { pid: 1000 + incarnation, processStart: `${incarnation}`, bootId: `boot-${this.boots}` }
    return {
      ...own,
      isAlive: (pid, processStart) =>
        this.incarnation === incarnation && pid === own.pid && processStart === own.processStart,
    }
  }
}

export interface WorldOptions {
  readonly seed: number
  /** Keys of the configuration besides those of every run. */
  readonly keys?: Readonly<Record<string, string>>
  /** What is said while it runs; null: nothing. */
  readonly trace?: ((line: string) => void) | null
  readonly planted?: Planted | undefined
}

export class World {
  readonly events = new EventQueue()
  readonly decisions: Decisions
  readonly members: readonly BrokerMember[]
  readonly network: SimNetwork
  readonly net: SimNet
  /** The machine of all clients: it neither dies nor is cut off. */
  readonly clients: SimHost
  /** The first thing that must not be; nothing goes on after it. */
  violation: string | null = null
  /** Of the kinds, times and owners of all events so far. */
  hash = 0
  eventCount = 0
  /** The highest term in which a leader has spoken: what was acknowledged, was in this one at the latest. */
  term = 0
  readonly #keys: Readonly<Record<string, string>>
  readonly #trace: ((line: string) => void) | null
  readonly #planted: Planted
  readonly #cuts = new Set<string>()
  #momentUs = -1
  #eventsOfMoment = 0
  /** Faults and recoveries so far. */
  disturbances = 0

  constructor({ seed, keys = {}, trace = null, planted = {} }: WorldOptions) {
    this.#planted = planted
    this.#keys = keys
    this.#trace = trace
    this.decisions = new Decisions(seed)
    this.members = Array.from({ length: MEMBERS }, (_, id) => new BrokerMember(id, this.events, this.decisions))
    this.network = new SimNetwork({
      events: this.events,
      decisions: this.decisions,
      streams: true,
      hosts: this.members.map((member) => ({ name: member.name, process: member })),
      onSent: (_, message) => {
        if (message.type === 'AppendEntries') this.term = Math.max(this.term, message.term)
      },
      onDelivered: () => {},
      beforeSend: () => {},
    })
    const clientProcess: Process = { id: MEMBERS, incarnation: 1, paused: false, heldBack: [] }
    this.clients = { host: '10.0.0.100', process: clientProcess, machineIsOn: true }
    this.net = new SimNet({
      events: this.events,
      decisions: this.decisions,
      isOpen: (from, to) => from.machineIsOn && to.machineIsOn && !this.#cuts.has(cutName(from, to)),
    })
  }

  get nowMs(): number {
    return this.events.nowUs / US_PER_MS
  }

  /** What the wall clocks of all machines show. */
  get wallMs(): number {
    return EPOCH_MS + this.nowMs
  }

  say(what: string): void {
    this.#trace?.(`${this.nowMs.toFixed(3).padStart(12)} ${what}`)
  }

  violated(what: string): void {
    this.say(`VIOLATION: ${what}`)
    this.violation ??= what
  }

  clientClock(): Clock {
    return plainClock(this.events, this.clients.process)
  }

  // ------------------------------------------------------------------------------------------------ time

  /** Runs events for so long, or until `enough`. */
  async run(forMs: number, enough: () => boolean = () => false): Promise<void> {
    const untilUs = this.events.nowUs + forMs * US_PER_MS
    // What the caller has just begun comes first.
    await turn()
    let nextLookUs = this.events.nowUs
    while (this.violation === null) {
      if (this.events.nowUs >= nextLookUs) {
        if (enough()) return
        nextLookUs = this.events.nowUs + LOOK_EVERY_US
      }
      const event = this.events.next(untilUs)
      if (event === null) return
      this.#runEvent(event)
      this.#checkProgress(event)
      await turn()
    }
  }

  /** Runs events until `condition` holds. It is a violation when it never does. */
  async until(what: string, condition: () => boolean, patienceMs = PATIENCE_MS): Promise<void> {
    await this.run(patienceMs, condition)
    if (this.violation === null && !condition()) this.violated(`${what}: not within ${patienceMs} ms`)
  }

  /** Who does things again and again at one moment keeps a process busy for ever. */
  #checkProgress({ atUs, kind, owner }: SimEvent): void {
    if (atUs !== this.#momentUs) {
      this.#momentUs = atUs
      this.#eventsOfMoment = 0
    }
    if (this.#eventsOfMoment++ < EVENTS_OF_MOMENT_MAX) return
    this.violated(`${owner === null ? 'the world' : `n${owner.id}`} is caught in a loop of ${kind}s`)
  }

  #runEvent(event: SimEvent): void {
    const { run, owner } = event
    event.run = null
    this.eventCount++
    this.hash = (Math.imul(this.hash ^ event.atUs, 0x01000193) ^ (event.kind.length * 31 + (owner?.id ?? 7))) >>> 0
    try {
      run?.()
    } catch (error) {
      this.violated(`${owner === null ? 'the world' : `n${owner.id}`} threw: ${stackOf(error)}`)
    }
  }

  // ------------------------------------------------------------------------------------------------ lives

  /** Starts all members and waits until one leads. */
  async start(): Promise<void> {
    for (const member of this.members) this.startMember(member)
    await this.leading()
  }

  startMember(member: BrokerMember): void {
    if (member.broker !== null) return
    this.say(`${member.name} starts`)
    this.disturbances++
    member.machineIsOn = true
    const { incarnation } = member
    const clock = new SimClock(this.events, member, this.decisions, { driftPerMille: 0, wallSkewMs: 0 })
    const random = this.decisions.stream(`random ${incarnation}`, member.id)
    const { inDisk } = this.#planted
    const disk = new RoomyDisk({
      drive: member.drive,
      events: this.events,
      owner: member,
      planted: new Set(inDisk === undefined ? [] : [inDisk]),
      beforeEffect: () => {},
    })
    disk.makeDirectorySync(dirname(DIRECTORY))
    const broker = new Broker(configOf(member, this.#keys), {
      clock,
      random,
      logger: this.#loggerOf(member),
      sockets: this.net.socketsOf(member),
      storeOptions: {
        disk,
        random,
        owner: member.owner(),
        metadata: faultyMetadata(member.metadata, this.#planted),
        transport: this.network.transportOf(member.id),
        checkpointIntervalMs: 1_000,
        inMemoryBytes: 1_000_000,
        hotBytesMax: 8_192,
        retentionIntervalMs: 1_000,
        ...this.#planted.storeOptions,
      },
      onFatal: (error) => {
        if (member.incarnation === incarnation) this.#failed(member, error)
      },
    })
    member.broker = broker
    broker.start().then(
      () => {
        if (member.incarnation !== incarnation) return
        member.isUp = true
        if (broker.store !== null) this.#planted.inStore?.(broker.store)
      },
      (error: unknown) => {
        if (member.incarnation !== incarnation) return
        if (isForRoom(error, member)) this.kill(member, 'kill')
        else this.#failed(member, error)
      },
    )
  }

  /** Ends the process at once; its machine too, if so said. It stays down until it is started. */
  kill(member: BrokerMember, death: Death): void {
    this.say(`${member.name} dies (${death})`)
    this.disturbances++
    const wasUp = member.broker !== null
    member.incarnation++
    member.paused = false
    member.heldBack.length = 0
    member.broker = null
    member.isUp = false
    if (death === 'power') {
      member.machineIsOn = false
      member.boots++
      member.drive.powerLost()
      const kept = this.decisions.below('metadata kept', member.id, member.boots, member.metadata.unsyncedBatches + 1)
      member.metadata = member.metadata.crash(kept)
    } else {
      member.drive.processKilled()
      member.metadata = member.metadata.crash(Number.MAX_SAFE_INTEGER)
    }
    if (wasUp || death === 'power') this.network.processDied(member.id, death === 'kill')
    this.net.died(member)
  }

  /** Stops it as SIGTERM does, and ends the process then. */
  async stop(member: BrokerMember): Promise<void> {
    const { broker, incarnation } = member
    if (broker === null || !member.isUp || member.paused) return
    this.say(`${member.name} is asked to stop`)
    let isClosed = false
    broker.close().then(
      () => {
        isClosed = true
      },
      (error: unknown) => {
        // What is still to be written when it closes finds no room either.
        if (isForRoom(error, member)) isClosed = true
        else this.violated(`${member.name} could not be closed: ${stackOf(error)}`)
      },
    )
    await this.until(`${member.name} stops`, () => isClosed || member.incarnation !== incarnation)
    if (member.incarnation === incarnation) this.kill(member, 'kill')
  }

  /** The leader is asked to hand over; whether it does is not waited for. */
  transfer(to: BrokerMember): void {
    const store = this.leader()?.broker?.store
    if (store === undefined || store === null) return
    this.disturbances++
    this.say(`the leadership is to go to ${to.name}`)
    store.transferLeadership(to.name).then(
      () => {},
      (error: unknown) => this.violated(`a transfer ended with ${stackOf(error)}`),
    )
  }

  pause(member: BrokerMember): void {
    if (member.broker === null) return
    this.say(`${member.name} is paused`)
    this.disturbances++
    member.paused = true
  }

  /** Its disk takes so many times as long, until everything is healed. */
  slow(member: BrokerMember, times: number): void {
    this.say(`${member.name} has a disk ${times} times as slow`)
    this.disturbances++
    member.drive.slowness = times
  }

  /** Its disk has no more room, until everything is healed. */
  fill(member: BrokerMember): void {
    this.say(`${member.name} has a full disk`)
    this.disturbances++
    member.drive.fill()
  }

  resume(member: BrokerMember): void {
    if (!member.paused) return
    this.say(`${member.name} goes on`)
    this.events.resume(member)
  }

  cut(from: BrokerMember, to: BrokerMember): void {
    const name = cutName(from, to)
    if (this.#cuts.has(name)) return
    this.say(`${from.name} -> ${to.name} is cut`)
    this.disturbances++
    this.#cuts.add(name)
    this.network.cut(from.id, to.id)
  }

  healAll(): void {
    this.say('all links are healed')
    this.#cuts.clear()
    this.network.healAll()
    for (const { drive } of this.members) {
      drive.slowness = 1
      drive.giveRoom()
    }
  }

  /** The member that leads in the highest term anybody knows; no other one can have acknowledged anything newer. */
  leader(): BrokerMember | null {
    for (const member of this.members) {
      const store = member.broker?.store
      if (!member.isUp || member.paused || store?.isReady() !== true) continue
      if (store.status().term >= this.term) return member
    }
    return null
  }

  /** All members are up and reach each other, and one leads. */
  isWhole(): boolean {
    const isWell = this.members.every(
      ({ isUp, paused, drive }) => isUp && !paused && drive.slowness === 1 && !drive.isFull,
    )
    return isWell && this.#cuts.size === 0 && this.leader() !== null
  }

  /** Calls back then, whatever happens meanwhile. */
  afterMs(delayMs: number, callback: () => void): void {
    this.events.schedule(delayMs * US_PER_MS, 'model', null, callback)
  }

  async leading(): Promise<void> {
    await this.until('some member leads', () => this.leader() !== null)
  }

  /** Everybody is there again, and of one mind. */
  async heal(): Promise<void> {
    this.healAll()
    for (const member of this.members) {
      this.resume(member)
      this.startMember(member)
    }
    await this.leading()
    await this.until('all members follow', () => this.#isLevel())
  }

  #isLevel(): boolean {
    const leader = this.leader()
    if (leader === null) return false
    const { lastIndex, term } = leader.broker?.store?.status() ?? { lastIndex: -1, term: -1 }
    return this.members.every((member) => {
      const status = member.broker?.store?.status()
      return member.isUp && status !== undefined && status.term === term && status.appliedIndex === lastIndex
    })
  }

  #failed(member: BrokerMember, error: unknown): void {
    const what = error instanceof AssertionError ? `${error.message} (asserted)` : 'stopped'
    this.violated(`${member.name}: ${what}: ${stackOf(error)}`)
  }

  #loggerOf(member: BrokerMember): Logger {
    if (this.#trace === null) {
      const noteErrors = (fields: Record<string, unknown>, event: string): void => this.#logged(member, fields, event)
      const silent = (): void => {}
      return { debug: silent, info: silent, warn: silent, error: noteErrors }
    }
    const line = (fields: Record<string, unknown>, event: string): void => {
      const { err } = fields
      this.say(`${member.name} logs: ${event} ${err instanceof Error ? stackOf(err) : JSON.stringify(fields)}`)
    }
    return {
      debug: line,
      info: line,
      warn: line,
      error: (fields, event) => {
        line(fields, event)
        this.#logged(member, fields, event)
      },
    }
  }

  /** An error without a code is a bug. That a leadership goes, or a process, is no error. */
  #logged(member: BrokerMember, fields: Record<string, unknown>, event: string): void {
    const { err } = fields
    if (!(err instanceof Error) || (err instanceof CodedError && !NO_ERRORS.has(String(err.code)))) return
    this.violated(`${member.name} logs an error: ${event} ${stackOf(err)}`)
  }
}

/** What others store there is not looked at; whether there is room is told. */
class RoomyDisk extends SimDisk {
  readonly #drive: SimDrive

  constructor(options: ConstructorParameters<typeof SimDisk>[0]) {
    super(options)
    this.#drive = options.drive
  }

  override usedPercentSync(): number {
    return 10
  }

  override freeBytesSync(): number {
    return this.#drive.isFull ? 0 : Number.POSITIVE_INFINITY
  }
}

function configOf(member: BrokerMember, keys: Readonly<Record<string, string>>): BrokerConfig {
  const peers = Array.from({ length: MEMBERS }, (_, id) => `n${id}-${hostOf(id)}:${LOG_PORT}`)
  const { config } = parseConfig(
    {
      brokerClusterName: 'C',
      brokerName: 'b',
      brokerIP1: member.host,
      listenPort: String(BROKER_PORT),
      storePathRootDir: DIRECTORY,
      enableDLegerCommitLog: 'true',
      dLegerPeers: peers.join(';'),
      dLegerSelfId: member.name,
      mappedFileSizeCommitLog: '65536',
      mappedFileSizeConsumeQueue: '400',
      maxMessageSize: '4096',
      maxHashSlotNum: '20',
      maxIndexNum: '50',
      shutdownLingerMs: '100',
      ...keys,
    },
    { homeDirectory: '/srv', hostName: member.name, address: member.host },
  )
  return config
}

function hostOf(id: number): string {
  return `10.0.0.${id + 1}`
}

function cutName(from: SimHost, to: SimHost): string {
  return `${from.host} ${to.host}`
}

/** Without passes that are late: for what has no event loop of its own. */
function isForRoom(error: unknown, { drive }: BrokerMember): boolean {
  return drive.isFull && error instanceof CodedError && (error.code === 'DISK_FULL' || isDiskFull(error))
}

function plainClock(events: EventQueue, owner: Process): Clock {
  return {
    nowMs: () => EPOCH_MS + Math.floor(events.nowUs / US_PER_MS),
    monotonicMs: () => events.nowUs / US_PER_MS,
    after: (delayMs, callback) => {
      const event = events.schedule(delayMs * US_PER_MS, 'timer', owner, callback)
      return () => {
        event.run = null
      }
    },
    defer: (callback) => {
      events.schedule(1, 'defer', owner, callback)
    },
  }
}

/** Promises do all they can until then. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
