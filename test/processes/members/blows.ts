/**
 * What happens to members: each blow strikes, waits until the others go on where they can, and leaves the group whole again.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Random } from '@dledger-ts/base'
import { untilTrue } from '../group/until.ts'
import type { Hindrance } from './link-proxy.ts'
import type { GroupMember, MemberGroup } from './member-group.ts'
import { losePackets, passPackets, plugIn, pull, type Wire } from './namespaces.ts'

export interface Struck {
  readonly group: MemberGroup
  readonly leader: GroupMember
  /** One of the others. */
  readonly follower: GroupMember
  readonly random: Random
  /** Resolves after `count` more acknowledgements. @throws when they do not come in time. */
  readonly untilAcknowledged: (count: number) => Promise<void>
  /** Reads registers there, and resolves when all are answered or refused. @returns how many were answered. */
  readonly askForRegisters: (member: GroupMember, count: number) => Promise<number>
}

type Blow = (struck: Struck) => Promise<void>

/** Longer than the longest election timeout, so that a paused or cut leader is replaced. */
const BEYOND_ELECTION_MS = 2_500
const ACKNOWLEDGED_MEANWHILE = 40
/** Of a hello, about. */
const GREETING_BYTES = 100
const READS_AT_ONCE = 20
const ANSWERS_AGAIN_TIMEOUT_MS = 30_000
const BLACKHOLE: Hindrance = { kind: 'blackhole' }

const restart = async (member: GroupMember): Promise<void> => {
  await member.kill()
  await member.start()
}

const cut =
  (whom: 'leader' | 'follower', direction: 'in' | 'out' | 'both'): Blow =>
  async ({ group, leader, follower, untilAcknowledged }) => {
    for (const link of group.linksOf(whom === 'leader' ? leader : follower, direction)) link.hinder(BLACKHOLE)
    await delay(BEYOND_ELECTION_MS)
    await untilAcknowledged(ACKNOWLEDGED_MEANWHILE)
    group.heal()
  }

const hinder =
  (hindrance: Hindrance): Blow =>
  async ({ group, leader, untilAcknowledged }) => {
    for (const link of group.linksOf(leader, 'both')) link.hinder(hindrance)
    await untilAcknowledged(ACKNOWLEDGED_MEANWHILE)
    group.heal()
  }

/** Those that any group survives. */
export const BLOWS = {
  'SIGKILL of the leader': async ({ group, leader, untilAcknowledged }) => {
    await leader.kill()
    await group.untilLeader(leader)
    await untilAcknowledged(ACKNOWLEDGED_MEANWHILE)
    await leader.start()
  },
  'SIGKILL of a follower': async ({ follower, untilAcknowledged }) => {
    await follower.kill()
    await untilAcknowledged(ACKNOWLEDGED_MEANWHILE)
    await follower.start()
  },
  'SIGKILL of all at once': async ({ group }) => {
    await Promise.all(group.members.map((member) => restart(member)))
  },
  'SIGSTOP of the leader beyond the election timeout': async ({ group, leader, untilAcknowledged }) => {
    leader.pause()
    await group.untilLeader(leader)
    await untilAcknowledged(ACKNOWLEDGED_MEANWHILE)
    leader.resume()
  },
  'SIGSTOP of the leader, which is asked before it knows that another leads': async (struck) => {
    const { group, leader, untilAcknowledged, askForRegisters } = struck
    // Nothing of its successor waits for it when it goes on: whatever it answers, it answers by what it knew.
    for (const link of group.linksOf(leader, 'both')) link.hinder(BLACKHOLE)
    leader.pause()
    await group.untilLeader(leader)
    await untilAcknowledged(ACKNOWLEDGED_MEANWHILE)
    const asked = askForRegisters(leader, READS_AT_ONCE)
    leader.resume()
    await asked
    group.heal()
    await untilTrue('the former leader answers reads', ANSWERS_AGAIN_TIMEOUT_MS, async () => {
      return (await askForRegisters(leader, 1)) > 0
    })
  },
  'SIGSTOP of a follower': async ({ follower, untilAcknowledged }) => {
    follower.pause()
    await delay(BEYOND_ELECTION_MS)
    await untilAcknowledged(ACKNOWLEDGED_MEANWHILE)
    follower.resume()
  },
  'nothing reaches or leaves the leader': cut('leader', 'both'),
  'nothing leaves the leader': cut('leader', 'out'),
  'nothing reaches the leader': cut('leader', 'in'),
  'nothing reaches or leaves a follower': cut('follower', 'both'),
  'nothing leaves a follower': cut('follower', 'out'),
  'slow links of the leader': hinder({ kind: 'delay', ms: 60 }),
  'narrow links of the leader': hinder({ kind: 'bandwidth', bytesPerSecond: 60_000 }),
  'connections reset in the middle of frames': async ({ group, random, untilAcknowledged }) => {
    for (let i = 0; i < 5; i++) {
      for (const link of group.links.values()) link.resetAfter(random.below(3_000))
      await untilAcknowledged(ACKNOWLEDGED_MEANWHILE)
    }
  },
  'flipped bits': async ({ group, random, untilAcknowledged }) => {
    for (let i = 0; i < 5; i++) {
      for (const link of group.links.values()) link.flipAfter(random.below(3_000), random.below(8))
      await untilAcknowledged(ACKNOWLEDGED_MEANWHILE)
    }
  },
  'flipped bits in greetings': async ({ group, random, untilAcknowledged }) => {
    for (const link of group.links.values()) {
      for (const of of ['hello', 'answer', 'hello', 'answer'] as const) {
        link.spoilGreeting({ of, at: random.below(GREETING_BYTES), bit: random.below(8) })
      }
      link.resetAfter(random.below(1_000))
    }
    await untilAcknowledged(ACKNOWLEDGED_MEANWHILE)
    for (const link of group.links.values()) link.spareGreetings()
  },
} as const satisfies Readonly<Record<string, Blow>>

/** Those that only members with shadowed disks can be dealt. */
export const POWER_CUTS = {
  'power cut of the leader': async ({ group, leader, untilAcknowledged }) => {
    await group.losePower([leader])
    await group.untilLeader(leader)
    await untilAcknowledged(ACKNOWLEDGED_MEANWHILE)
    await leader.start()
  },
  'power cut of a follower': async ({ group, follower, untilAcknowledged }) => {
    await group.losePower([follower])
    await untilAcknowledged(ACKNOWLEDGED_MEANWHILE)
    await follower.start()
  },
  'power cut of all at once': async ({ group }) => {
    await group.losePower(group.members)
    await group.start()
  },
} as const satisfies Readonly<Record<string, Blow>>

/** The same as cuts by proxies, but packets are lost and no end is heard; for members in network namespaces. */
export const WIRE_CUTS = {
  'the wire of the leader is pulled': async ({ group, leader, untilAcknowledged }) => {
    pull(group.members.indexOf(leader))
    await group.untilLeader(leader)
    await untilAcknowledged(ACKNOWLEDGED_MEANWHILE)
    plugIn(group.members.indexOf(leader))
  },
  'the wire of a follower is pulled': async ({ group, follower, untilAcknowledged }) => {
    pull(group.members.indexOf(follower))
    await delay(BEYOND_ELECTION_MS)
    await untilAcknowledged(ACKNOWLEDGED_MEANWHILE)
    plugIn(group.members.indexOf(follower))
  },
  'packets from the leader are lost': async ({ group, leader, untilAcknowledged }) => {
    const others = group.members.filter((member) => member !== leader)
    for (const other of others) losePackets(leader.wire as Wire, other.wire as Wire)
    await delay(BEYOND_ELECTION_MS)
    await untilAcknowledged(ACKNOWLEDGED_MEANWHILE)
    for (const other of others) passPackets(leader.wire as Wire, other.wire as Wire)
  },
} as const satisfies Readonly<Record<string, Blow>>

export type BlowName = keyof typeof BLOWS | keyof typeof POWER_CUTS | keyof typeof WIRE_CUTS

export function blowOf(name: BlowName): Blow {
  return { ...BLOWS, ...POWER_CUTS, ...WIRE_CUTS }[name]
}
