/**
 * Members that die while they are given another one's state, and what the next process finds of it: also bytes that rotted.
 *
 * A received state is synced, remembered and taken in within milliseconds, so deaths drawn for any time hardly ever meet one. Only what
 * is staged rots: once it takes the place of the own one, damage to it is beyond repair here, and is told.
 */
import type { Message } from '@dledger-ts/dledger/internals'
import type { Cluster } from './cluster.ts'
import type { Member } from './member.ts'

type InstallAck = Extract<Message, { type: 'InstallAck' }>

/** Of 1,000 members that have received a whole state so many die before it is theirs, as far as that is seen in time. */
const DEATHS_PER_MILLE = 300
const ROTTEN_PER_MILLE = 700
const DOWN_MS = 400
/** How often, and how far apart, is looked whether the state is remembered. */
const LOOKS_MAX = 60
const LOOK_US = 150

/** A member says how far it has received what it is given. */
export function mayInterrupt(cluster: Cluster, member: Member, ack: InstallAck): void {
  if (ack.stateAt !== -1 || ack.isOver || cluster.healed) return
  if (!cluster.decisions.chance('dies with a state', member.id, ack.id + member.incarnation * 1000, DEATHS_PER_MILLE))
    return
  const { incarnation } = member
  const look = (left: number): void => {
    if (member.incarnation !== incarnation || member.life !== 'up' || cluster.healed) return
    if (stagedBytes(member) > 0) cluster.die(member, 'kill', DOWN_MS)
    else if (left > 0) cluster.events.schedule(LOOK_US, 'looks at what is staged', null, () => look(left - 1))
  }
  cluster.events.schedule(LOOK_US, 'looks at what is staged', null, () => look(LOOKS_MAX))
}

/** A process is gone: now and then the next one finds a byte changed of the state that it is to go on with. */
export function stagedStateRots({ decisions }: Cluster, member: Member): void {
  const bytes = stagedBytes(member)
  const inode = member.drive.names.get(`${member.directory}/incoming/state`)
  if (bytes === 0 || inode === undefined || inode === 'directory') return
  if (!decisions.chance('staged state rots', member.id, member.incarnation, ROTTEN_PER_MILLE)) return
  const at = decisions.below('rotten byte of a state', member.id, member.incarnation, bytes)
  const byte = Buffer.alloc(1)
  inode.cache.read(byte, at)
  inode.spoil(at, (byte[0] as number) ^ (1 << decisions.below('rotten bit of a state', member.id, at, 8)))
}

/** As the next process will read it. */
function stagedBytes(member: Member): number {
  const { incoming } = member.cacheVote.read()
  return incoming?.phase === 'STAGING' ? (incoming.snapshot?.bytes ?? 0) : 0
}
