/** Runs one schedule: faults, healing, recovery, and for some seeds one last power cut (or kill) of the whole group. */
import { Cluster } from './cluster.ts'
import { scheduleFaults, scheduleRequests, scheduleTrims } from './faults.ts'
import { checkEqualLogs } from './final-checks.ts'
import { expectRepair } from './reading.ts'
import { expectRecovery, heal, workOn } from './healing.ts'
import { mayLosePowerTogether } from './rotting.ts'
import { NO_PLANTED_FAULTS, type PlantedFaults } from './planted.ts'
import type { Schedule } from './schedule.ts'

/** A schedule of fewer events is none that a volume should boast of: the healed group works on until it has had so many. */
export const EVENTS_MIN = 2_000

export interface RunResult {
  readonly violation: string | null
  readonly events: number
  readonly faults: number
  readonly committed: number
  readonly acknowledged: number
  /** Equal for two runs of one schedule. */
  readonly traceHash: number
  /** What happened, when that was asked for. */
  readonly lines: readonly string[]
}

/** How long members that may be beyond help are watched after healing. */
const BEYOND_MS = 5_000

export interface RunOptions {
  readonly keepText?: boolean
  readonly planted?: PlantedFaults
  /** `clients`: only what clients see is judged, and the invariants are not. To show what that finds by itself. */
  readonly judgedBy?: 'everybody' | 'clients'
}

export function runSchedule(schedule: Schedule, options: RunOptions = {}): RunResult {
  const cluster = new Cluster(schedule, {
    keepText: options.keepText === true,
    planted: options.planted ?? NO_PLANTED_FAULTS,
    judgedByClients: options.judgedBy === 'clients',
  })
  scheduleFaults(cluster)
  scheduleTrims(cluster)
  scheduleRequests(cluster)
  cluster.run(schedule.faultyMs)
  if (cluster.violation === null) heal(cluster)
  recover(cluster)
  while (cluster.violation === null && cluster.eventCount < EVENTS_MIN) {
    workOn(cluster)
    recover(cluster)
  }
  if (cluster.violation === null && cluster.decisions.chance('last outage', 0, 0, 300)) {
    const death = mayLosePowerTogether(cluster) ? 'power' : 'kill'
    for (const member of cluster.members) {
      if (!member.isSpare) cluster.die(member, death, 10)
    }
    recover(cluster)
  }
  if (cluster.isDamaged && cluster.violation === null && schedule.profile !== 'beyond') {
    // Nothing is in memory then: what was damaged is found where it stands.
    for (const member of cluster.members) if (!member.isSpare) cluster.die(member, 'kill', 10)
    recover(cluster)
    if (cluster.violation === null) expectRepair(cluster)
    // Meanwhile a preferred leader may have been elected: the logs are equal when that is over.
    if (cluster.violation === null) recover(cluster)
  }
  const { network, workload, trace } = cluster
  // What a majority lost with its power, as ASYNC_FLUSH says it may, the clients had seen.
  const isJudged = cluster.violation === null && !cluster.invariants.hasLost
  const clientsSaw = isJudged ? cluster.registers.judge() : null
  return {
    violation: cluster.violation ?? clientsSaw,
    events: cluster.eventCount,
    faults: cluster.faultCount + network.lost + network.duplicated,
    committed: cluster.invariants.committed.length,
    acknowledged: workload.proposals.filter((proposal) => proposal.outcome === 'acknowledged').length,
    traceHash: trace.hash,
    lines: trace.lines,
  }
}

function recover(cluster: Cluster): void {
  // Beyond the budget there may be nothing to go on with; what was seen until then must have been right.
  if (cluster.schedule.profile === 'beyond') return cluster.run(cluster.nowMs + BEYOND_MS)
  if (cluster.violation === null) expectRecovery(cluster)
  if (cluster.violation === null) checkEqualLogs(cluster)
}
