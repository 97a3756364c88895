/**
 * A group of whole members — driver, core, log, state machine, all production code — on one simulated clock, network and a
 * drive for each; and what can happen to them.
 *
 * One event runs at a time. After each the invariants are checked; the first violation stops everything.
 */
import { AssertionError, type Logger } from '@dledger-ts/base'
import { bareEnvelope, type DLedgerError, LogNode, type NodeSettings } from '@dledger-ts/dledger/internals'
import { Decisions } from './decisions.ts'
import { mayInterrupt, stagedStateRots } from './interrupting.ts'
import { Invariants } from './invariants/invariants.ts'
import { Member } from './member.ts'
import type { PlantedFaults } from './planted.ts'
import { Readers } from './readers.ts'
import { mayLosePower } from './rotting.ts'
import { RegisterClients } from './registers.ts'
import type { ClientRead, Death, Schedule } from './schedule.ts'
import { settingsOf } from './settings.ts'
import { EventQueue, SimClock, type SimEvent, US_PER_MS } from './sim-clock.ts'
import { ProcessDied, SimDisk } from './sim-disk.ts'
import { SimDrive } from './sim-drive.ts'
import { SimNetwork } from './sim-network.ts'
import { KnownStates, SimStateMachine } from './state-machine.ts'
import { Trace } from './trace.ts'
import { type ClientProposal, type ProposalObserver, Workload } from './workload.ts'

/** How long a member that met a disk error lives on before its process or its machine ends. */
const LINGER_AFTER_FAILURE_MS = 30
/** A clean stop that takes longer ends as a killed process; only a drive or a process that stood still may be the reason. */
const CLOSE_MS_MAX = 20_000
/** Members that nobody names at first. */
const SPARES = 2
/** Clocks run up to this much fast or slow. */
const DRIFT_PER_MILLE_MAX = 20

export interface ClusterOptions {
  readonly keepText: boolean
  readonly planted: PlantedFaults
  /** Violated invariants are told in the trace only. */
  readonly judgedByClients: boolean
}

export class Cluster {
  readonly schedule: Schedule
  readonly decisions: Decisions
  readonly settings: NodeSettings
  readonly events = new EventQueue()
  readonly trace: Trace
  readonly members: Member[] = []
  readonly network: SimNetwork
  readonly workload: Workload
  readonly readers: Readers
  readonly invariants: Invariants
  readonly registers: RegisterClients
  readonly #planted: PlantedFaults
  readonly #judgedByClients: boolean
  readonly #knownStates = new KnownStates()
  /** The first thing that was wrong, or null. */
  violation: string | null = null
  readonly #changes = new Set<{ readonly leader: Member; readonly incarnation: number }>()
  /** Members come, go and lose their disks. Unless both are mixed, no stored bytes rot then. */
  readonly isAboutMembership: boolean
  /** Under ASYNC_FLUSH voters go in some runs: no two members have lost power and not recovered then. */
  readonly losesPowerOneByOne: boolean
  /** No more faults from now on. */
  healed = false
  /** The head of the log is trimmed now and then. */
  isTrimmed = false
  /** Something that was stored was spoiled. */
  isDamaged = false
  eventCount = 0
  /** Deaths, cuts, errors and so on that took effect. */
  faultCount = 0

  constructor(schedule: Schedule, options: ClusterOptions) {
    this.schedule = schedule
    this.#judgedByClients = options.judgedByClients
    this.#planted = options.planted
    this.decisions = new Decisions(schedule.seed)
    const changes = schedule.faults.some(({ kind }) => kind === 'change' || kind === 'wipe' || kind === 'restore')
    const isMixed = schedule.profile === 'mixed'
    this.isAboutMembership = changes && (isMixed || this.decisions.chance('is about membership', 0, 0, 400))
    this.losesPowerOneByOne =
      this.isAboutMembership &&
      schedule.flush === 'ASYNC_FLUSH' &&
      schedule.faults.some((fault) => fault.kind === 'change' && fault.wish !== 'voter')
    this.settings = settingsOf(schedule, this.decisions)
    this.trace = new Trace(options)
    for (let id = 0; id < schedule.members + SPARES; id++) {
      const options = {
        fileBytes: this.settings.fileBytes,
        joins: id >= schedule.members,
        committed: () => this.invariants.committed,
      }
      const drive = new SimDrive(id, this.decisions)
      drive.keepsFormer = schedule.faults.some((fault) => fault.kind === 'rot' && fault.how.startsWith('stale'))
      this.members.push(new Member(id, drive, options))
    }
    this.readers = new Readers({
      violated: (what) => this.violated(what),
      nowUs: () => this.events.nowUs,
      appliedIndexOf: (member) => this.members[member]?.node?.appliedIndex ?? -1,
    })
    this.workload = new Workload({
      violated: (what) => this.violated(what),
      acknowledged: (proposal) => {
        if (proposal.place !== null) this.readers.acknowledged(proposal.place.index)
        this.invariants.applying.acknowledged(this.members[proposal.member] as Member, proposal)
      },
    })
    this.network = new SimNetwork({
      events: this.events,
      decisions: this.decisions,
      streams: schedule.network === 'streams',
      hosts: this.members.map((member) => ({ name: member.name, process: member })),
      onSent: (from, message) => {
        const member = this.members[from] as Member
        this.trace.note(message.type, this.events.nowUs, from, message.term)
        if (this.trace.keepsText) this.say(member, `sends ${JSON.stringify(message)}`)
        this.invariants.messages.sent(member, message)
        if (message.type === 'InstallAck') mayInterrupt(this, member, message)
      },
      onDelivered: (to, message) => this.invariants.messages.delivered(this.members[to] as Member, message),
      beforeSend: (from) => this.#beforeEffect(this.members[from] as Member),
    })
    this.invariants = new Invariants({
      schedule,
      members: this.members,
      workload: this.workload,
      settings: this.settings,
      nowMs: () => this.nowMs,
      lost: (from) => {
        this.#knownStates.forgetFrom(from)
        this.readers.lost(from)
      },
      violated: (what) => this.violated(what),
    })
    this.registers = new RegisterClients(this, { readsOwnState: options.planted.client.has('reads-own-state') })
    for (const member of this.members)
      if (!member.joins) this.startIn(member, this.decisions.below('first start', member.id, 0, 30))
  }

  get nowMs(): number {
    return this.events.nowUs / US_PER_MS
  }

  /** Runs events until that time, the first violation, or `enough`, which is asked now and then. */
  run(untilMs: number, enough: () => boolean = () => false): void {
    const untilUs = untilMs * US_PER_MS
    let nextLookUs = this.events.nowUs
    while (this.violation === null) {
      if (this.events.nowUs >= nextLookUs) {
        if (enough()) return
        nextLookUs = this.events.nowUs + 10 * US_PER_MS
      }
      const event = this.events.next(untilUs)
      if (event === null) return
      this.#runEvent(event)
    }
  }

  violated(what: string): void {
    if (!this.#judgedByClients) this.violation ??= what
    this.trace.say(this.events.nowUs, '', `VIOLATION: ${what}`)
  }

  say(member: Member, what: string): void {
    this.trace.say(this.events.nowUs, member.name, what)
  }

  /** Those that believe to lead: after a partition there may be several. */
  leaders(): Member[] {
    return this.members.filter((member) => member.isUp && member.role?.role === 'LEADER')
  }

  /** The one of the highest term. */
  leader(): Member | null {
    let found: Member | null = null
    for (const member of this.leaders()) {
      if (found === null || (found.role?.term ?? 0) < (member.role?.term ?? 0)) found = member
    }
    return found
  }

  // ------------------------------------------------------------------------------------------------ lives

  startIn(member: Member, delayMs: number): void {
    this.events.schedule(delayMs * US_PER_MS, 'start', member, () => {
      if (member.life === 'down') this.#start(member)
    })
  }

  /**
   * Ends a member's process at once, its machine too if so said; it comes back `downMs` later (never for null). After a failed
   * sync the page cache may show what the drive will never hold: a process that starts over it must not believe it.
   */
  die(member: Member, death: Death, downMs: number | null): void {
    this.invariants.afterEvent(member)
    const before = this.invariants.lives.beforeDeath(member)
    const wasDown = member.life === 'down'
    member.incarnation++
    member.paused = false
    member.onResume = null
    member.heldBack.length = 0
    member.life = 'down'
    member.node = null
    member.clock = null
    member.dying = null
    member.effectsLeft = null
    this.say(member, `dies (${death})`)
    if (!wasDown || death === 'power') this.network.processDied(member.id, death === 'kill')
    if (death === 'power') {
      member.boots++
      member.drive.powerLost()
    } else member.drive.processKilled()
    stagedStateRots(this, member)
    this.workload.died(member.id)
    this.readers.died(member.id)
    this.invariants.lives.afterDeath(member, death, before)
    if (downMs !== null) this.startIn(member, downMs)
  }

  pause(member: Member, forMs: number): void {
    if (member.paused) return
    member.paused = true
    this.say(member, 'is paused')
    const { incarnation } = member
    this.events.schedule(forMs * US_PER_MS, 'resume', null, () => {
      if (member.incarnation === incarnation && member.paused) this.resume(member)
    })
  }

  /** As a pause, but its monotonic clock stands still with it: only the wall clock tells what passed. */
  suspend(member: Member, forMs: number): void {
    if (member.paused) return
    const fromUs = this.events.nowUs
    const { clock } = member
    this.pause(member, forMs)
    member.suspensions++
    // Its clock counts by the events' time, which goes on. Nothing reads it until the member does, so it is set back then; a death
    // before takes the clock with it.
    member.onResume = () => clock?.skip(this.events.nowUs - fromUs)
  }

  resume(member: Member): void {
    this.say(member, 'goes on')
    member.resumedAtMs = this.nowMs
    member.onResume?.()
    member.onResume = null
    this.events.resume(member)
  }

  /** Closes it cleanly, then ends the process. */
  stop(member: Member, downMs: number): void {
    const { node, incarnation } = member
    if (!member.isUp || node === null) return
    member.life = 'closing'
    member.askedToStopMs = this.nowMs
    this.say(member, 'is asked to stop')
    node.close((error) => {
      if (incarnation !== member.incarnation) return
      if (error !== null && !member.metDiskError && !isHang(member, error))
        this.violated(`${member.name} could not be closed: ${error.message}`)
      for (const proposal of this.workload.proposals) {
        if (proposal.member === member.id && proposal.incarnation === incarnation && proposal.outcome === 'pending') {
          this.violated(`${member.name} closed and left proposal ${proposal.id} without an answer (20)`)
        }
      }
      this.events.schedule(0, 'exit', null, () => {
        if (incarnation === member.incarnation) this.die(member, 'kill', downMs)
      })
    })
    const askedAtMs = this.nowMs
    this.events.schedule(CLOSE_MS_MAX * US_PER_MS, 'stop takes too long', null, () => {
      if (incarnation !== member.incarnation) return
      const stoodStill = member.paused || member.resumedAtMs >= askedAtMs || member.drive.askedFor.size > 0
      if (!stoodStill) this.violated(`${member.name} waits for nothing and has not stopped after ${CLOSE_MS_MAX} ms`)
      this.die(member, 'kill', downMs)
    })
  }

  propose(member: Member, bytes: number, observer: ProposalObserver | null = null): ClientProposal {
    const { incarnation } = member
    const proposal = this.workload.make({ bytes, member: member.id, incarnation, observer })
    this.events.schedule(0, 'propose', member, () => {
      if (member.isUp && member.node !== null) member.node.propose(proposal)
      else proposal.orphan()
    })
    return proposal
  }

  /** Asks the leader for a change, and a spare to join. */
  change(leader: Member, member: Member, wish: 'voter' | 'learner' | 'removed'): void {
    const id = member.name
    if (wish !== 'removed' && member.isSpare) this.startIn(member, 0)
    // From now on: a leader that stands still takes it up when it goes on.
    const asked = { leader, incarnation: leader.incarnation }
    this.#changes.add(asked)
    this.events.schedule(0, 'change', leader, () => {
      if (!leader.isUp || leader.node === null) {
        this.#changes.delete(asked)
        return
      }
      const change =
        wish === 'removed'
          ? ({ kind: 'remove', id } as const)
          : ({ kind: 'add', id, address: null, role: wish } as const)
      leader.node.changeMembership(change, (error) => {
        this.say(
          leader,
          `was asked for ${id} as ${wish}: ${error === null ? 'done' : `${error.code}, ${error.message}`}`,
        )
        if (!this.#changes.delete(asked)) this.violated(`${leader.name} told the outcome of a change twice`)
      })
    })
  }

  /** Changes that were asked for and may still be proposed. */
  get changesUnderWay(): number {
    for (const asked of this.#changes) if (asked.incarnation !== asked.leader.incarnation) this.#changes.delete(asked)
    return this.#changes.size
  }

  read(member: Member, { consistency, maxStalenessMs }: Pick<ClientRead, 'consistency' | 'maxStalenessMs'>): void {
    const { incarnation } = member
    this.events.schedule(0, 'read', member, () => {
      if (!member.isUp || member.node === null || member.incarnation !== incarnation) return
      member.node.readIndex(this.readers.make(member.id, { consistency, maxStalenessMs }))
    })
  }

  #start(member: Member): void {
    member.life = 'starting'
    member.errorsGivenAtStart = member.drive.errorsGiven
    member.hasStarted = true
    member.remember()
    const { incarnation } = member
    const clock = new SimClock(this.events, member, this.decisions, {
      driftPerMille: this.decisions.below('drift', member.id, 0, 2 * DRIFT_PER_MILLE_MAX + 1) - DRIFT_PER_MILLE_MAX,
      wallSkewMs: member.wallSkewMs,
    })
    member.clock = clock
    const keepsCheckpoints = this.decisions.chance('keeps checkpoints', member.id, 0, 800)
    member.registers = member.registers.asOf(member.checkpoint.appliedIndex)
    const machine = new SimStateMachine({
      checkpoint: member.checkpoint,
      keepsCheckpoints,
      applied: (entry) => {
        this.invariants.applying.applied(member, entry)
        if (entry.kind === 'data') this.registers.applied(member, entry.index, this.workload.proposalOf(entry.body))
      },
      known: this.#knownStates,
      restored: (index) => this.registers.restored(member, index),
      later: (callback) =>
        this.events.schedule(
          this.decisions.below('state piece', member.id, this.eventCount, 2_000),
          'state',
          member,
          () => {
            if (incarnation === member.incarnation) callback()
          },
        ),
      roleChanged: (state) => {
        if (incarnation !== member.incarnation) return
        this.trace.note(state.role, this.events.nowUs, member.id, state.term)
        this.say(
          member,
          `is ${state.role} of term ${state.term}, leader ${state.leader}${state.ready ? ', ready' : ''}`,
        )
        this.invariants.votes.roleChanged(member, state)
      },
      violated: (what) => this.violated(`${member.name}: ${what}`),
    })
    const node = new LogNode({
      clock,
      random: this.decisions.stream(`random ${incarnation}`, member.id),
      disk: new SimDisk({
        drive: member.drive,
        events: this.events,
        owner: member,
        planted: this.#planted.disk,
        beforeEffect: () => this.#beforeEffect(member),
      }),
      transport: this.network.transportOf(member.id),
      logger: this.#loggerOf(member),
      directory: member.directory,
      group: 'simulated',
      self: member.name,
      bootstrapVoters: this.members.filter((one) => !one.joins).map((one) => one.name),
      joins: member.joins,
      settings: this.settings,
      stateMachine: machine,
      controlEnvelope: bareEnvelope,
      advertised: member.name,
      owner: member.owner(),
      newStoreId: () => `store-${member.name}-${++member.storeIds}`,
      onFatal: (error) => {
        if (incarnation === member.incarnation) this.#fatal(member, error)
      },
      plantedFaults: this.#planted.core,
      plantedDriverFaults: this.#planted.driver,
    })
    member.node = node
    node.start((error) => {
      if (incarnation !== member.incarnation) return
      if (error !== null) return this.#refusedToStart(member, error)
      member.life = 'up'
      this.say(member, `is up, term ${node.role.term}, log up to ${node.lastIndex}`)
      this.invariants.lives.started(member)
    })
  }

  #refusedToStart(member: Member, error: Error): void {
    member.life = 'failed'
    if (member.metDiskError || isHang(member, error)) return this.#restartLater(member)
    if (this.#mayBeHelpless(error)) return
    this.violated(`${member.name} does not start: ${error.message}`)
  }

  #fatal(member: Member, error: Error): void {
    this.say(member, `stops for good: ${error.message}`)
    member.life = 'failed'
    this.workload.stopped(member.id)
    this.readers.died(member.id)
    this.invariants.lives.stopped(member)
    if (error instanceof AssertionError) this.violated(`${member.name}: ${error.message} (asserted)`)
    else if (member.metDiskError || isHang(member, error)) this.#restartLater(member)
    else if (!this.#mayBeHelpless(error)) this.violated(`${member.name} stopped: ${error.message}`)
  }

  /** Beyond the budget a member may find that it cannot go on. */
  #mayBeHelpless(error: Error): boolean {
    return this.schedule.profile === 'beyond' && (error as DLedgerError).code === 'CORRUPT'
  }

  #restartLater(member: Member): void {
    const { incarnation } = member
    this.events.schedule(LINGER_AFTER_FAILURE_MS * US_PER_MS, 'failed member off', null, () => {
      if (incarnation === member.incarnation) this.restartFailed(member, member.restartAfterErrorMs)
    })
  }

  /** After a disk error: only the process, or the machine; under ASYNC_FLUSH that would be beyond the promise. */
  restartFailed(member: Member, downMs: number): void {
    const mayLosePower = this.schedule.flush === 'SYNC_FLUSH'
    const isPower = mayLosePower && this.decisions.chance('machine off after error', member.id, member.incarnation, 400)
    this.die(member, isPower ? 'power' : 'kill', downMs)
  }

  // ------------------------------------------------------------------------------------------------ events

  #runEvent(event: SimEvent): void {
    this.eventCount++
    const { owner } = event
    this.trace.note(event.kind, event.atUs, owner === null ? -1 : owner.id, 0)
    const run = event.run
    event.run = null
    try {
      run?.()
    } catch (error) {
      if (!(error instanceof ProcessDied)) {
        const stack = error instanceof Error ? (error.stack ?? error.message) : String(error)
        this.violated(`${owner === null ? 'the simulation' : `n${owner.id}`} threw: ${stack}`)
      }
    }
    if (owner === null) return
    const member = this.members[owner.id] as Member
    if (member.dying !== null) {
      const { death, downMs } = member.dying
      this.die(member, mayLosePower(this, member) ? death : 'kill', downMs)
    } else this.invariants.afterEvent(member)
  }

  #beforeEffect(member: Member): void {
    if (member.effectsLeft === null) return
    if (member.effectsLeft-- > 0) return
    member.dying = member.plannedDeath
    member.incarnation++
    throw new ProcessDied()
  }

  #loggerOf(member: Member): Logger {
    const line = (fields: Record<string, unknown>, event: string): void => {
      if (!this.trace.keepsText) return
      const { err } = fields as { err?: unknown }
      this.say(member, `logs: ${event} ${err instanceof Error ? (err.stack ?? err.message) : JSON.stringify(fields)}`)
    }
    return { debug: line, info: line, warn: line, error: line }
  }
}

/** The member gave up waiting for a drive that hung, or was very slow; or found no room where it must have some. */
function isHang(member: Member, error: Error): boolean {
  return member.drive.wasTroubled && (error as DLedgerError).code === 'STORAGE_FAILED'
}
