/**
 * The second half of every simulation: everything is healed, and the group must find together within a bounded time.
 */
import type { LogNode } from '@dledger-ts/dledger/internals'
import type { Cluster } from './cluster.ts'
import { isNamed } from './membership.ts'
import type { Member } from './member.ts'
import { isToBeRepaired } from './repairable.ts'
import { US_PER_MS } from './sim-clock.ts'
import type { ClientProposal } from './workload.ts'

/** Of the longest election timeout (twice `electionTimeoutMs`): until there is a leader that takes writes. */
const ELECTION_TIMEOUTS_MAX = 15
/** Until a fresh proposal is committed and everybody has everything. */
const CATCH_UP_MS_MAX = 20_000
/** Of pieces that overtake each other few are the next one that is wanted; over streams they never do. */
const CATCH_UP_MS_MAX_OF_DATAGRAMS = 60_000
const REPROPOSE_MS = 500
/** What is settled for so long has no write left that waits behind another. */
const SETTLED_MS = 200
/** What clients do besides, where too little has happened. */
const MORE_REQUESTS = 10
const MORE_EVERY_MS = 30
const MORE_BYTES = 12

/** Ends all faults: links work, disks are fast, who is down or stopped by an error is started. */
export function heal(cluster: Cluster): void {
  cluster.healed = true
  cluster.trace.say(cluster.events.nowUs, '', 'everything is healed')
  cluster.network.healAll()
  for (const member of cluster.members) {
    member.drive.slowness = 1
    member.drive.answerAgain()
    member.drive.giveRoom()
    member.drive.clearPlantedError()
    member.effectsLeft = null
    if (member.paused) cluster.resume(member)
    if (member.life === 'failed') cluster.restartFailed(member, 0)
    else if (member.life === 'down' && !member.isSpare) cluster.startIn(member, 0)
  }
}

/** Clients go on for a while. Each request is an event, whoever there is to take it. */
export function workOn(cluster: Cluster): void {
  for (let i = 0; i < MORE_REQUESTS; i++) {
    cluster.events.schedule(i * MORE_EVERY_MS * US_PER_MS, 'request', null, () => {
      for (const leader of cluster.leaders()) cluster.propose(leader, MORE_BYTES)
    })
  }
  cluster.run(cluster.nowMs + MORE_REQUESTS * MORE_EVERY_MS)
}

/** Runs until the healed group is one again; what it does not reach in time is a violation. */
export function expectRecovery(cluster: Cluster): void {
  const longestTimeoutMs = 2 * cluster.settings.electionTimeoutMs
  const leaderDeadlineMs = cluster.nowMs + ELECTION_TIMEOUTS_MAX * longestTimeoutMs
  cluster.run(leaderDeadlineMs, () => readyLeader(cluster) !== null)
  if (cluster.violation !== null) return
  if (readyLeader(cluster) === null)
    return cluster.violated(`no ready leader ${ELECTION_TIMEOUTS_MAX} election timeouts after healing`)
  const isInOrder = cluster.schedule.network === 'streams'
  const catchUpMsMax = isInOrder ? CATCH_UP_MS_MAX : CATCH_UP_MS_MAX_OF_DATAGRAMS
  const deadlineMs = cluster.nowMs + catchUpMsMax
  let fresh: ClientProposal | null = null
  let proposedAtMs = Number.NEGATIVE_INFINITY
  let settledSinceMs = Number.POSITIVE_INFINITY
  cluster.run(deadlineMs, () => {
    if (fresh?.outcome === 'acknowledged') {
      settledSinceMs = isSettled(cluster) ? Math.min(settledSinceMs, cluster.nowMs) : Number.POSITIVE_INFINITY
      return cluster.nowMs >= settledSinceMs + SETTLED_MS
    }
    const leader = readyLeader(cluster)
    if (
      leader !== null &&
      (fresh === null || fresh.outcome !== 'pending') &&
      cluster.nowMs > proposedAtMs + REPROPOSE_MS
    ) {
      proposedAtMs = cluster.nowMs
      fresh = cluster.propose(leader, 8)
    }
    return false
  })
  if (cluster.violation !== null) return
  if (!isSettled(cluster))
    cluster.violated(`not one group again ${catchUpMsMax} ms after it had a leader: ${describe(cluster)}`)
}

function readyLeader(cluster: Cluster): Member | null {
  const leader = cluster.leader()
  return leader?.role?.ready === true ? leader : null
}

/** One leader, everybody follows it, has all of it written and applied; nobody waits for an answer. */
function isSettled(cluster: Cluster): boolean {
  const leader = readyLeader(cluster)
  if (leader === null || leader.node === null) return false
  const configuration = leader.node.raft.configuration()
  if (configuration.learners.some((learner) => learner.promote)) return false
  const { lastIndex } = leader.cacheImage
  const chain = leader.cacheImage.entries.at(-1)?.chain
  for (const member of cluster.members) {
    if (!isNamed(configuration, member)) {
      if (member.role?.role === 'LEADER') return false
      continue
    }
    const { node } = member
    if (!member.isUp || node === null || member.drive.writesUnderWay.size > 0) return false
    if (node.role.leader !== leader.name || node.role.term !== leader.node.role.term) return false
    if (node.commitIndex !== lastIndex || node.appliedIndex !== lastIndex || member.cacheImage.lastIndex !== lastIndex)
      return false
    if (node.lastIndex !== lastIndex || member.cacheImage.entries.at(-1)?.chain !== chain) return false
    // Found to be damaged, and not filled in yet by those who can.
    if (cluster.isDamaged && node.lost.some((range) => isToBeRepaired(cluster, member, range))) return false
    if (cluster.isDamaged && lacksState(node, member.checkpoint.appliedIndex, leader.node.firstIndex)) return false
  }
  if (cluster.readers.reads.some((read) => read.outcome === 'pending')) return false
  return cluster.workload.proposals.every((proposal) => proposal.outcome !== 'pending')
}

/**
 * Has it lost what the leader has trimmed, and can be given the state instead? Where its own state machine has applied that and has no
 * checkpoint of it, an older state is not taken in: such a member is helped at its next start.
 */
function lacksState(node: LogNode, checkpointIndex: number, firstIndexOfLeader: number): boolean {
  if (checkpointIndex < firstIndexOfLeader - 1) return false
  return node.lost.some(({ lastIndex }) => lastIndex < firstIndexOfLeader)
}

function describe(cluster: Cluster): string {
  const waiting = cluster.workload.proposals.filter((proposal) => proposal.outcome === 'pending').length
  const members = cluster.members.map((member) => {
    const { node } = member
    if (node === null || !member.isUp) return `${member.name} ${member.life}`
    const { role, term, leader, lastIndex } = node.status
    return `${member.name} ${role} of ${leader} in ${term}, last ${lastIndex} commit ${node.commitIndex} applied ${node.appliedIndex}`
  })
  return `${members.join('; ')}; ${waiting} proposals without an answer`
}
