/** That all which stands in a hard state at once has room there. */
import { randomBytes, randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { encodeConfiguration } from '../configuration-codec.ts'
import type { Configuration } from '../raft/configuration.ts'
import { fitsInSlot, type HardState } from './hard-state-file.ts'
import { hasRoomForConfiguration, withoutWhatMayGo } from './hard-state-size.ts'

const OWN: HardState = {
  group: 'broker-a',
  member: 's123456789',
  storeId: randomUUID(),
  incarnation: 2 ** 42,
  formerIncarnations: Array.from({ length: 16 }, (_, i) => 2 ** 42 + i * 7_919_317),
  term: 20_000,
  votedFor: null,
  fileBytes: 1_073_741_824,
  checksummedFrom: 0,
  bootId: randomUUID(),
  asyncAcks: true,
  cleanStop: false,
  recovering: false,
  durableHint: { index: 12_345_678_901, endPos: 98_765_432_109, chain: 4_000_000_000, term: 20_000 },
  beforeFirst: { index: 12_345_000_000, endPos: 98_765_000_000, chain: 3_000_000_000, term: 19_000 },
  configurationIndexes: Array.from({ length: 16 }, (_, i) => 12_345_000_000 + i * 1_000),
}

/** A master after so many others, and its slaves. */
function classic(slaves: number, formers: number, addressOf: (i: number) => string): Configuration {
  return {
    voters: [{ id: 'n0', storeId: randomUUID(), address: addressOf(0) }],
    learners: Array.from({ length: slaves }, (_, i) => {
      return { id: `s${100_000_000 + i * 7}`, storeId: randomUUID(), address: addressOf(i + 1), promote: false }
    }),
    formers: Array.from({ length: formers }, (_, i) => ({ storeId: randomUUID(), lastIndex: 12_000_000_000 + i })),
  }
}

/** A member whose log starts after `one`, while a log that starts after `other` is on its way to it. */
function holding(one: Configuration, other: Configuration): HardState {
  const base = (configuration: Configuration) => {
    return { index: 12_345_678_901, payload: encodeConfiguration(configuration).toString() }
  }
  return {
    ...OWN,
    baseConfiguration: base(one),
    incoming: {
      phase: 'STAGING',
      beforeFirst: { index: 12_345_000_000, endPos: 98_765_000_000, chain: 3_000_000_000, term: 19_000 },
      baseConfiguration: base(other),
      hint: OWN.durableHint,
      configurationIndexes: OWN.configurationIndexes ?? [],
      snapshot: { index: 12_345_000_000, id: 'x'.repeat(128), bytes: 98_765_000_000, isWhole: false, crc: 4e9 },
    },
  }
}

test('all slaves that a master may have, after all masters that are remembered, have room', () => {
  const most = classic(8, 16, (i) => `broker-${i}.messaging.example.org:10912`)
  expect(JSON.stringify(holding(most, most)).length).toBeGreaterThan(4_072)
  expect(hasRoomForConfiguration(OWN, most)).toBe(true)
  expect(withoutWhatMayGo(holding(most, most))).toEqual({ ...holding(most, most) })
})

test('what there is room for by word has room at every member, a slave and a master later', () => {
  for (let addressBytes = 10, had = true; had; addressBytes += 10) {
    const named = classic(8, 15, () => randomBytes(addressBytes).toString('base64'))
    had = hasRoomForConfiguration(OWN, named)
    if (!had) {
      expect(addressBytes).toBeGreaterThan(60)
      break
    }
    const later: Configuration = {
      ...named,
      learners: [
        { id: 's9', storeId: randomUUID(), address: randomBytes(addressBytes).toString('base64'), promote: false },
        ...named.learners.slice(1),
      ],
      formers: [...(named.formers ?? []), { storeId: randomUUID(), lastIndex: 13_000_000_000 }],
    }
    expect(fitsInSlot(holding(named, later))).toBe(true)
  }
})

test('what a member knows of its peers gives way, and what it promised does not', () => {
  const knownPeers = { n7: { storeId: randomBytes(1_200).toString('base64'), incarnation: 7 } }
  const full = { ...OWN, votedFor: 'n7', group: randomBytes(2_500).toString('base64'), outdated: 'y', knownPeers }
  expect(withoutWhatMayGo(full)).toEqual({ ...full, knownPeers: {} })
  const wordy = { ...OWN, group: full.group, outdated: randomBytes(1_500).toString('base64') }
  expect(withoutWhatMayGo(wordy)).toEqual({ ...wordy, outdated: wordy.outdated.slice(0, 256) })
  expect(withoutWhatMayGo({ ...OWN, group: randomBytes(6_000).toString('base64') })).toBeNull()
  expect(withoutWhatMayGo(OWN)).toBe(OWN)
})
