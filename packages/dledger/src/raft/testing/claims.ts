/** What the tests of claims share: a small group, and a claim that is run with the fault that would break it, and must fail then. */
import { expect, test } from 'vitest'
import type { Message } from '../messages.ts'
import type { RaftOptions } from '../output.ts'
import { NO_FAULTS, type PlantedFault } from '../planted-faults.ts'
import { Cluster, type TestMember } from './cluster.ts'

export function group(faults: ReadonlySet<PlantedFault> = NO_FAULTS, overrides: Partial<RaftOptions> = {}, size = 3) {
  const cluster = new Cluster({ size, random: (counter, bound) => (counter * 7) % bound, faults, overrides })
  const at = (place: number): TestMember => cluster.members[place] as TestMember
  return { cluster, at }
}

/** Runs what must hold, as it is and with the fault that would break it. */
export function claim(name: string, fault: PlantedFault, holds: (faults: ReadonlySet<PlantedFault>) => void): void {
  test(name, () => {
    holds(NO_FAULTS)
    expect(() => holds(new Set([fault]))).toThrow()
  })
}

export function lettersTo(cluster: Cluster, member: TestMember, type: Message['type']) {
  return cluster.network.filter((letter) => letter.message.to === member.id && letter.message.type === type)
}
