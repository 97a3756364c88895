/**
 * Tests only: what may happen to a group of cores, as a list of numbers, so that a property test can draw and shrink it.
 */
import { keyedHash } from '@dledger-ts/base'
import type { Member } from '../configuration.ts'
import type { PlantedFault } from '../planted-faults.ts'
import { Cluster, type TestMember } from './cluster.ts'

export type Step = readonly [action: number, which: number, how: number]

/** What may happen, and how often: a row for each share. */
const ACTIONS: readonly {
  readonly share: number
  readonly run: (cluster: Cluster, which: number, how: number) => void
}[] = [
  { share: 20, run: (cluster, which) => deliver(cluster, which, { isKept: false }) },
  { share: 10, run: (cluster) => deliver(cluster, 0, { isKept: false }) },
  { share: 2, run: (cluster, which) => deliver(cluster, which, { isKept: true }) },
  { share: 3, run: lose },
  { share: 10, run: (cluster, which) => withMember(cluster, which, (member) => cluster.tick(member)) },
  { share: 8, run: (cluster, which) => withMember(cluster, which, (member) => cluster.completeLogWrite(member)) },
  { share: 6, run: (cluster, which) => withMember(cluster, which, (member) => cluster.completeHardStateWrite(member)) },
  { share: 6, run: (cluster, which, how) => withMember(cluster, which, (member) => propose(cluster, member, how)) },
  { share: 3, run: (cluster, which) => withMember(cluster, which, (member) => cluster.apply(member)) },
  {
    share: 3,
    run: (cluster, which, how) => withMember(cluster, which, (member) => cluster.answerColdRead(member, how % 4)),
  },
  { share: 2, run: (cluster, which, how) => withMember(cluster, which, (member) => cluster.crash(member, how % 3)) },
  { share: 4, run: start },
  { share: 1, run: (cluster, which) => withMember(cluster, which, (member) => member.raft.campaign()) },
  { share: 1, run: (cluster, which) => withMember(cluster, which, (member) => cluster.bindIdentities(member)) },
  { share: 1, run: (cluster, which) => withMember(cluster, which, (member) => member.raft.transferLeadership(null)) },
  { share: 1, run: (cluster, which, how) => withMember(cluster, which, (member) => connection(cluster, member, how)) },
  { share: 1, run: (cluster, which, how) => withMember(cluster, which, (member) => storage(member, how)) },
  { share: 4, run: readEverywhere },
  { share: 2, run: calm },
  { share: 6, run: rush },
]
/** With members that come, go and lose their disks. */
const MEMBERSHIP_ACTIONS: typeof ACTIONS = [
  ...ACTIONS,
  { share: 4, run: (cluster, which, how) => withMember(cluster, which, (member) => change(cluster, member, how)) },
  { share: 6, run: changeAtLeader },
  { share: 4, run: (cluster) => void (cluster.leader !== null && cluster.bindIdentities(cluster.leader)) },
  { share: 2, run: wipe },
]
const sharesOf = (actions: typeof ACTIONS): number => actions.reduce((sum, action) => sum + action.share, 0)
/** An action is a number below this. */
export const SHARES = sharesOf(ACTIONS)
export const MEMBERSHIP_SHARES = sharesOf(MEMBERSHIP_ACTIONS)

/** Runs a schedule, holding the group to the safety properties after each step. */
export function runSchedule(
  size: number,
  seed: number,
  steps: readonly Step[],
  faults?: ReadonlySet<PlantedFault>,
  spares = 0,
): Cluster {
  const actions = spares > 0 ? MEMBERSHIP_ACTIONS : ACTIONS
  const cluster = new Cluster({
    size,
    spares,
    random: (counter, bound) => keyedHash(seed, 'election', 0, counter) % bound,
    ...(faults === undefined ? {} : { faults }),
  })
  for (const [action, which, how] of steps) {
    let share = action % sharesOf(actions)
    for (const each of actions) {
      share -= each.share
      if (share >= 0) continue
      each.run(cluster, which, how)
      break
    }
    for (const member of cluster.members) if (member.isUp) cluster.drain(member)
    cluster.check()
  }
  return cluster
}

function deliver(cluster: Cluster, which: number, { isKept }: { readonly isKept: boolean }): void {
  if (cluster.network.length === 0) return
  const letter = cluster.takeLetter(which % cluster.network.length)
  if (isKept) cluster.network.push(letter)
  cluster.deliver(letter)
}

function lose(cluster: Cluster, which: number): void {
  if (cluster.network.length > 0) cluster.takeLetter(which % cluster.network.length)
}

function withMember(cluster: Cluster, which: number, what: (member: TestMember) => unknown): void {
  const member = cluster.members[which % cluster.members.length]
  if (member?.isUp === true) what(member)
}

function propose(cluster: Cluster, member: TestMember, how: number): void {
  cluster.propose(member, 1 + (how % 3))
}

/** Well as often as not. */
function storage(member: TestMember, how: number): void {
  member.raft.storageHealth(how % 2 === 0 ? 0 : (how >> 1) % 8)
}

function start(cluster: Cluster, which: number): void {
  const member = cluster.members[which % cluster.members.length]
  if (member?.isUp === false) cluster.start(member)
}

function connection(cluster: Cluster, member: TestMember, how: number): void {
  const peer = cluster.members[how % cluster.members.length]
  if (peer === undefined || peer === member) return
  if (how % 2 === 0) member.raft.peerConnected(peer.id, peer.storeId)
  else member.raft.peerLost(peer.id)
}

/** Whoever leads, and whoever still believes to. */
function readEverywhere(cluster: Cluster): void {
  for (const member of cluster.members) if (member.isUp) cluster.read(member)
}

function changeAtLeader(cluster: Cluster, _which: number, how: number): void {
  if (cluster.leader !== null) change(cluster, cluster.leader, how)
}

function change(cluster: Cluster, member: TestMember, how: number): void {
  const id = cluster.members[how % cluster.members.length]?.id as string
  const kind = Math.floor(how / 7) % 5
  if (kind < 2) cluster.change(member, { kind: 'add', id, address: null, role: 'voter' })
  else if (kind === 2 && isIntact(cluster)) cluster.change(member, { kind: 'add', id, address: null, role: 'learner' })
  // A lost disk and fewer members at once are more than is promised.
  else if (isIntact(cluster)) cluster.change(member, { kind: 'remove', id })
}

/** Within what is promised: one lost disk at a time, of three voters or more, known by its identity to everybody else, durably. */
function wipe(cluster: Cluster, which: number): void {
  const member = cluster.members[which % cluster.members.length] as TestMember
  const newest = cluster.committedConfiguration()
  if (newest === null || newest.configuration.voters.length < 3 || !isIntact(cluster)) return
  if (newest.configuration.voters.some((voter) => voter.storeId === null)) return
  for (const { id, log, durableLog, joins } of cluster.members) {
    // Nothing is under way that would leave fewer.
    if (log.slice(newest.index + 1).some((entry) => entry.configuration !== null)) return
    if (durableLog.slice(newest.index + 1).some((entry) => entry.configuration !== null)) return
    const knows = durableLog[newest.index]?.configuration === newest.configuration
    if (id !== member.id && !knows && !joins) return
  }
  if (!newest.configuration.voters.some((voter) => voter.id === member.id)) return
  if (member.isUp) cluster.crash(member)
  cluster.wipe(member)
}

/** Whether all voters have the disks under which they are known. */
function isIntact(cluster: Cluster): boolean {
  return cluster.members.every((member) =>
    (member.isUp ? [member.raft.configuration()] : []).every(({ voters }) =>
      voters.every((voter) => isHeld(cluster, voter)),
    ),
  )
}

function isHeld(cluster: Cluster, { id, storeId }: Member): boolean {
  return cluster.members.some((each) => each.id === id && (storeId === null || each.storeId === storeId))
}

/** A few ticks without faults, for one side of a partition: so that schedules get anywhere. */
function calm(cluster: Cluster, which: number, how: number): void {
  const cutOff = which % (cluster.members.length + 1)
  const isReached = (id: string): boolean => id !== cluster.members[cutOff]?.id
  for (let tick = 0; tick < 1 + (how % 12); tick++) {
    for (const member of cluster.members) if (member.isUp) cluster.tick(member)
    cluster.settle((from, to) => isReached(from) && isReached(to))
    cluster.check()
  }
  const leader = cluster.leader
  if (leader !== null && how % 2 === 0) cluster.propose(leader, 1 + (how % 5))
  if (how % 3 === 0) readEverywhere(cluster)
}

/** A few rounds in which some links are cut, some disks stand still and some clocks run. */
function rush(cluster: Cluster, which: number, how: number): void {
  const has = (bits: number, bit: number): boolean => ((bits >> (bit % 10)) & 1) === 1
  const place = (id: string): number => cluster.members.findIndex((member) => member.id === id)
  for (let round = 0; round < 1 + (how % 5); round++) {
    for (const [at, member] of cluster.members.entries()) {
      if (!member.isUp) continue
      if (has(which, at) && has(how, at)) cluster.tick(member)
      while (cluster.completeHardStateWrite(member)) continue
      while (!has(how, at + 5) && cluster.completeLogWrite(member)) continue
      cluster.apply(member)
      cluster.drain(member)
    }
    for (const letter of cluster.network.splice(0)) {
      const link = place(letter.message.from) * 3 + place(letter.message.to)
      if (!has(which, link)) cluster.deliver(letter)
    }
  }
}
