/** Makes the faults of a schedule happen. A fault that has nothing to act on at its time does nothing. */
import { unreachable } from '@dledger-ts/base'
import { DLedgerError } from '@dledger-ts/dledger/internals'
import type { Cluster } from './cluster.ts'
import type { DriveImage, Member } from './member.ts'
import { mayGoBack, mayLose, maySpareVoters } from './membership.ts'
import type { ClientRequest, Death, Fault } from './schedule.ts'
import { litterBehindTheEnd, sectorOf } from './odd-sectors.ts'
import { areUndamaged, lostFileOf, mayLosePower, mayLosePowerTogether, rotOf } from './rotting.ts'
import { RegisterMap } from './registers.ts'
import { hasRetention } from './settings.ts'
import { US_PER_MS } from './sim-clock.ts'
import { CALM } from './sim-network.ts'

export function scheduleFaults(cluster: Cluster): void {
  for (const fault of cluster.schedule.faults) {
    cluster.events.schedule(fault.atMs * US_PER_MS, `fault ${fault.kind}`, null, () => {
      if (!cluster.healed) new FaultInAction(cluster, fault).begin()
    })
  }
}

/** In some runs the log is kept short all the time, so that whoever was away for a moment needs state and files. */
const TRIM_EVERY_MS = [0, 0, 100, 400] as const
const TRIM_KEEPS_MAX = 12

export function scheduleTrims(cluster: Cluster): void {
  const { decisions, schedule } = cluster
  cluster.isTrimmed = schedule.faults.some(({ kind }) => kind === 'trim') || hasRetention(cluster.settings)
  const everyMs = TRIM_EVERY_MS[decisions.below('trims', 0, 0, TRIM_EVERY_MS.length)] as number
  for (let atMs = everyMs; everyMs > 0 && atMs < schedule.faultyMs; atMs += everyMs) {
    cluster.isTrimmed = true
    const keep = decisions.below('trim keeps', 0, atMs, TRIM_KEEPS_MAX)
    cluster.events.schedule(atMs * US_PER_MS, 'trim', null, () => {
      if (!cluster.healed) new FaultInAction(cluster, { kind: 'trim', atMs, keep }).begin()
    })
  }
}

/** What the steady client proposes. */
const STEADY_BYTES = 12

export function scheduleRequests(cluster: Cluster): void {
  for (const request of cluster.schedule.requests) {
    cluster.events.schedule(request.atMs * US_PER_MS, 'request', null, () => send(cluster, request))
  }
  const { steadyMs = Number.POSITIVE_INFINITY, faultyMs } = cluster.schedule
  for (let atMs = steadyMs; atMs < faultyMs; atMs += steadyMs) {
    const request = { atMs, to: -1, count: 1, bytes: STEADY_BYTES }
    cluster.events.schedule(atMs * US_PER_MS, 'request', null, () => send(cluster, request))
  }
  for (const read of cluster.schedule.reads ?? []) {
    cluster.events.schedule(read.atMs * US_PER_MS, 'reads', null, () => {
      const members = read.to < 0 ? cluster.members : asked(cluster, read.to)
      for (const member of members) if (member.isUp) cluster.read(member, read)
    })
  }
  for (const operation of cluster.schedule.operations ?? []) {
    cluster.events.schedule(operation.atMs * US_PER_MS, 'operation', null, () => {
      for (const member of asked(cluster, operation.to)) {
        if (member.isUp) cluster.registers.use(member, operation)
      }
    })
  }
}

function send(cluster: Cluster, { to, count, bytes }: ClientRequest): void {
  for (const member of asked(cluster, to)) {
    for (let i = 0; member.isUp && i < count; i++) cluster.propose(member, bytes)
  }
}

function asked(cluster: Cluster, to: number): readonly Member[] {
  return to < 0 ? cluster.leaders() : [cluster.members[to % cluster.schedule.members] as Member]
}

/** How long after a leader goes on nobody reaches it; and what its bounded read may be stale by. */
const STRANDED_READS_MS = 20
const STRANDED_STALENESS_MS = 400

class FaultInAction {
  readonly #cluster: Cluster
  readonly #fault: Fault

  constructor(cluster: Cluster, fault: Fault) {
    this.#cluster = cluster
    this.#fault = fault
  }

  begin(): void {
    const cluster = this.#cluster
    const fault = this.#fault
    switch (fault.kind) {
      case 'crash':
        return this.#crash(this.#member(fault.member), fault.death, fault.downMs)
      case 'crashLeader':
        return this.#crash(cluster.leader(), fault.death, fault.downMs)
      case 'crashAll': {
        const death = mayLosePowerTogether(cluster) ? fault.death : 'kill'
        for (const member of cluster.members) this.#crash(member, death, fault.downMs)
        return
      }
      case 'crashAtEffect':
        return this.#crashAtEffect(fault)
      case 'stop':
        return this.#onUp(this.#member(fault.member), (member) => cluster.stop(member, fault.downMs))
      case 'wipe':
        return this.#wipe(this.#member(fault.member), fault.downMs)
      case 'rot': {
        const damage = rotOf(cluster, this.#member(fault.member), fault)
        return damage === null ? undefined : this.#damages(this.#member(fault.member), damage)
      }
      case 'readError':
        return this.#readError(this.#member(fault.member), fault)
      case 'litter':
        return this.#litter(this.#member(fault.member), fault)
      case 'loseFile': {
        const member = this.#member(fault.member)
        const damage = lostFileOf(cluster, member, fault)
        if (damage === null) return
        if (member.life !== 'down') cluster.die(member, 'kill', fault.downMs)
        return this.#damages(member, damage)
      }
      case 'restore':
        return this.#restore(this.#member(fault.member), fault.back, fault.downMs)
      case 'change':
        return this.#change(fault)
      case 'pause':
        return this.#onUp(this.#member(fault.member), (member) => cluster.pause(member, fault.forMs))
      case 'pauseLeader':
        return this.#onUp(cluster.leader(), (member) => cluster.pause(member, fault.forMs))
      case 'suspend': {
        const member = fault.member < 0 ? cluster.leader() : this.#member(fault.member)
        return this.#onUp(member, (one) => this.#suspend(one, fault.forMs))
      }
      case 'strandLeader':
        return this.#strand(cluster.leader(), fault)
      case 'isolate':
        return this.#isolate(this.#member(fault.member), fault.direction, fault.forMs)
      case 'isolateLeader':
        return this.#isolate(cluster.leader(), fault.direction, fault.forMs)
      case 'split':
        return this.#cut(splitOf(fault, cluster.members.length), fault.forMs)
      case 'cutLink': {
        const [a, b] = [this.#member(fault.from).id, this.#member(fault.to).id]
        return this.#cut((from, to) => from === a && to === b, fault.forMs)
      }
      case 'narrowLink': {
        const [a, b] = [this.#member(fault.from).id, this.#member(fault.to).id]
        if (a !== b) this.#narrow(a, b, fault.bytesPerMs, fault.forMs)
        return
      }
      case 'weather':
        return this.#weather(fault)
      case 'reset': {
        const [a, b] = [this.#member(fault.from).id, this.#member(fault.to).id]
        if (a !== b) this.#happens(() => cluster.network.reset(a, b))
        return
      }
      case 'slowDisk':
        return this.#slowDisk(this.#member(fault.member), fault.factor, fault.forMs)
      case 'slowLeader': {
        const leader = cluster.leader()
        return leader === null ? undefined : this.#slowDisk(leader, fault.factor, fault.forMs)
      }
      case 'hangDisk':
        return this.#hangDisk(this.#member(fault.member), fault.forMs)
      case 'hangLeader':
        return this.#hangDisk(cluster.leader(), fault.forMs)
      case 'fullDisk':
        return this.#fullDisk(this.#member(fault.member), fault.forMs)
      case 'fullLeader':
        return this.#fullDisk(cluster.leader(), fault.forMs)
      case 'diskError':
        return this.#onUp(this.#member(fault.member), (member) => {
          member.restartAfterErrorMs = fault.downMs
          member.drive.plantError(fault.error, fault.operations)
        })
      case 'transfer':
        return this.#transfer(this.#member(fault.to))
      case 'trim':
        if (!cluster.isTrimmed) return
        return this.#onUp(cluster.leader(), (leader) => this.#trim(leader, fault.keep))
      case 'clockJump':
        if (this.#member(fault.member).suspensions > 0) return
        return this.#happens(() => {
          const member = this.#member(fault.member)
          member.wallSkewMs += fault.byMs
          member.clock?.jump(fault.byMs)
        })
      default:
        return unreachable(fault, 'every kind of fault is known')
    }
  }

  #member(number: number): Member {
    const started = this.#cluster.members.filter((member) => !member.isSpare)
    return started[number % started.length] as Member
  }

  #happens(what: () => void): void {
    this.#cluster.faultCount++
    this.#cluster.trace.say(this.#cluster.events.nowUs, '', `fault: ${JSON.stringify(this.#fault)}`)
    what()
  }

  #damages(member: Member, what: () => void): void {
    this.#cluster.isDamaged = true
    member.drive.wasTroubled = true
    this.#happens(what)
  }

  #onUp(member: Member | null, what: (member: Member) => void): void {
    if (member !== null && member.isUp) this.#happens(() => what(member))
  }

  #later(delayMs: number, what: () => void): void {
    this.#cluster.events.schedule(delayMs * US_PER_MS, `end of ${this.#fault.kind}`, null, () => {
      if (!this.#cluster.healed) what()
    })
  }

  /** Power can be lost at any time, also while a member is down; a process can only be killed while there is one. */
  #crash(member: Member | null, wanted: Death, downMs: number): void {
    if (member === null) return
    const death = mayLosePower(this.#cluster, member) ? wanted : 'kill'
    if (member.life === 'down' && death === 'kill') return
    this.#happens(() => this.#cluster.die(member, death, downMs))
  }

  #crashAtEffect(fault: Extract<Fault, { kind: 'crashAtEffect' }>): void {
    const member = this.#member(fault.member)
    if (member.life === 'down') return
    this.#happens(() => {
      member.effectsLeft = fault.effects
      member.plannedDeath = fault
    })
  }

  #readError(member: Member, fault: Extract<Fault, { kind: 'readError' }>): void {
    const { drive } = member
    const sector = fault.how === 'sector' ? sectorOf(this.#cluster, member, fault.place) : null
    if (!member.isUp || (fault.how === 'sector' && sector === null)) return
    this.#happens(() => {
      drive.wasTroubled = true
      member.restartAfterErrorMs = fault.downMs
      if (fault.atStart) this.#cluster.die(member, 'kill', fault.downMs)
      if (sector === null) drive.plantReadError(fault.operations)
      else drive.makeUnreadable(sector.inode, sector.from, sector.to)
    })
    if (sector !== null) this.#later(fault.forMs, () => drive.makeReadable())
  }

  #litter(member: Member, fault: Extract<Fault, { kind: 'litter' }>): void {
    if (!mayLosePower(this.#cluster, member)) return
    this.#happens(() => {
      this.#cluster.die(member, 'power', fault.downMs)
      litterBehindTheEnd(this.#cluster, member, fault)
    })
  }

  /** Another disk, empty. */
  #wipe(member: Member, downMs: number): void {
    if (!this.#cluster.isAboutMembership || !mayLose(this.#cluster, member) || !areUndamaged(this.#cluster)) return
    this.#happens(() => this.#loseDisk(member, null, downMs))
  }

  /** The disk as it was at a former start. */
  #restore(member: Member, back: number, downMs: number): void {
    const image = member.images[member.images.length - 1 - back]
    if (image === undefined || !this.#cluster.isAboutMembership || !mayGoBack(this.#cluster, member, image)) return
    if (!areUndamaged(this.#cluster)) return
    this.#happens(() => this.#loseDisk(member, image, downMs))
  }

  #loseDisk(member: Member, image: DriveImage | null, downMs: number): void {
    const { invariants, network } = this.#cluster
    member.durableImage.refresh()
    member.lostLogs.set(member.durableVote.read().storeId, [...member.durableImage.entries])
    this.#cluster.die(member, 'power', null)
    if (image === null) member.drive.wipe()
    else member.drive.restore(image.image)
    member.images.length = 0
    member.checkpoint.appliedIndex = image?.checkpoint.appliedIndex ?? -1
    member.checkpoint.hash = image?.checkpoint.hash ?? 0
    if (image === null) member.registers = new RegisterMap()
    invariants.lives.lostDisk(member)
    network.greetAnew(member.id)
    this.#cluster.startIn(member, downMs)
  }

  /** Fewer voters only while none of them has lost its disk, nor, under ASYNC_FLUSH, what was in its page cache. */
  #change({ member: number, wish }: Extract<Fault, { kind: 'change' }>): void {
    const cluster = this.#cluster
    const leader = cluster.leader()
    const member = cluster.members[number % cluster.members.length] as Member
    if (leader === null || !cluster.isAboutMembership) return
    if (wish !== 'voter' && !(maySpareVoters(cluster) && areUndamaged(cluster))) return
    if (wish === 'removed' && member.isSpare) return
    this.#happens(() => cluster.change(leader, member, wish))
  }

  #suspend(member: Member, forMs: number): void {
    // Where the wall clock was set, too, nothing tells what passed: the stated limit.
    if (member.wallSkewMs === 0) this.#cluster.suspend(member, forMs)
    else this.#cluster.pause(member, forMs)
  }

  #strand(leader: Member | null, { suspended, forMs }: Extract<Fault, { kind: 'strandLeader' }>): void {
    const cluster = this.#cluster
    if (leader === null || !leader.isUp || leader.paused) return
    this.#isolate(leader, 'both', forMs + STRANDED_READS_MS)
    if (suspended) this.#suspend(leader, forMs)
    else cluster.pause(leader, forMs)
    this.#later(forMs, () => {
      for (const consistency of ['lease', 'bounded', 'linearizable'] as const) {
        if (leader.isUp) cluster.read(leader, { consistency, maxStalenessMs: STRANDED_STALENESS_MS })
      }
    })
  }

  #isolate(member: Member | null, direction: 'both' | 'in' | 'out', forMs: number): void {
    if (member === null) return
    this.#cut(
      (from, to) => (from === member.id && direction !== 'in') || (to === member.id && direction !== 'out'),
      forMs,
    )
  }

  #cut(isCut: (from: number, to: number) => boolean, forMs: number): void {
    const { members, network } = this.#cluster
    const each = (what: (from: number, to: number) => void): void => {
      for (const from of members) {
        for (const to of members) if (from !== to && isCut(from.id, to.id)) what(from.id, to.id)
      }
    }
    this.#happens(() => each((from, to) => network.cut(from, to)))
    this.#later(forMs, () => each((from, to) => network.heal(from, to)))
  }

  #narrow(from: number, to: number, bytesPerMs: number, forMs: number): void {
    const { network } = this.#cluster
    this.#happens(() => network.setBandwidth(from, to, bytesPerMs))
    this.#later(forMs, () => network.setBandwidth(from, to, null))
  }

  #weather(fault: Extract<Fault, { kind: 'weather' }>): void {
    const { network } = this.#cluster
    const conditions = {
      lossPerMille: fault.lossPerMille,
      duplicatePerMille: fault.duplicatePerMille,
      latePerMille: fault.latePerMille,
      damagePerMille: Math.max(fault.lossPerMille, CALM.damagePerMille ?? 0),
      delayUsMin: CALM.delayUsMin,
      delayUsMax: Math.max(CALM.delayUsMax, fault.delayMs * US_PER_MS),
    }
    this.#happens(() => {
      network.conditions = conditions
    })
    this.#later(fault.forMs, () => {
      if (network.conditions === conditions) network.conditions = CALM
    })
  }

  #hangDisk(member: Member | null, forMs: number): void {
    if (member === null) return
    this.#happens(() => member.drive.hang())
    this.#later(forMs, () => member.drive.answerAgain())
  }

  #fullDisk(member: Member | null, forMs: number): void {
    if (member === null) return
    this.#happens(() => member.drive.fill())
    this.#later(forMs, () => member.drive.giveRoom())
  }

  #slowDisk(member: Member, factor: number, forMs: number): void {
    this.#happens(() => {
      member.drive.wasTroubled = true
      member.drive.slowness = factor
    })
    this.#later(forMs, () => {
      member.drive.slowness = 1
    })
  }

  #trim(leader: Member, keep: number): void {
    this.#cluster.events.schedule(0, 'trim', leader, () => {
      const { node } = leader
      if (!leader.isUp || node === null) return
      try {
        node.trimBefore(Math.max(0, node.commitIndex - keep))
      } catch (error) {
        // It leads no longer, or not yet.
        if (!(error instanceof DLedgerError)) throw error
      }
    })
  }

  #transfer(to: Member): void {
    const leader = this.#cluster.leader()
    if (leader === null || leader === to) return
    this.#happens(() => {
      this.#cluster.events.schedule(0, 'transfer', leader, () => {
        if (!leader.isUp) return
        leader.askedToHandOverMs = this.#cluster.nowMs
        leader.node?.transferLeadership(to.name, () => {})
      })
    })
  }
}

/** @returns whether one hears nothing of the other; in a ring of three all are neighbours, so that is cut in halves. */
function splitOf(
  { side, shape }: Extract<Fault, { kind: 'split' }>,
  count: number,
): (from: number, to: number) => boolean {
  const isAcross = (from: number, to: number): boolean => ((side >> from) & 1) !== ((side >> to) & 1)
  if (shape === 'ring' && count > 3) return (from, to) => ![1, count - 1].includes(Math.abs(from - to))
  if (shape !== 'bridge') return isAcross
  const bridge = side % count
  return (from, to) => from !== bridge && to !== bridge && isAcross(from, to)
}
