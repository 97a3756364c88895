/**
 * What a slot of the hard state takes: a member's own part is small; configurations and what it remembers of others are bounded so that all of it
 * fits together.
 *
 * Keeps: a configuration is proposed only where the hard state of every member has room for it, twice: where its log starts, and in a log that is on
 * its way to it. What a member may forget gives way to what it may not.
 */
import { encodeConfiguration } from '../configuration-codec.ts'
import type { Configuration } from '../raft/configuration.ts'
import { fitsInSlot, type HardState } from './hard-state-file.ts'

/** For what is bound and counted later: store identities, lives, indexes; for members whose own names are longer, or that are two changes apart. */
const SPARE_BYTES = 1_024
/** For the next openings, which write what stands there and a life more. */
const SPARE_BYTES_FOR_STARTS = 64
const OUTDATED_CHARACTERS_MAX = 256

/** @param own the hard state of a member, as an example of the others'. */
export function hasRoomForConfiguration(own: HardState, configuration: Configuration): boolean {
  const index = Number.MAX_SAFE_INTEGER
  const baseConfiguration = { index, payload: encodeConfiguration(configuration).toString() }
  const end = { index, endPos: index, chain: 0xffff_ffff, term: index }
  const incoming = {
    phase: 'RESTORING',
    beforeFirst: end,
    baseConfiguration,
    hint: end,
    configurationIndexes: own.configurationIndexes ?? [],
    snapshot: null,
  } as const
  return fitsInSlot({ ...own, knownPeers: {}, outdated: null, baseConfiguration, incoming }, SPARE_BYTES)
}

/** @returns the state without what it may forget, as far as that has no room; null where it has none even so. */
export function withoutWhatMayGo(state: HardState): HardState | null {
  if (fitsInSlot(state, SPARE_BYTES_FOR_STARTS)) return state
  const outdated = state.outdated?.slice(0, OUTDATED_CHARACTERS_MAX) ?? null
  const shorter = { ...state, outdated }
  if (fitsInSlot(shorter, SPARE_BYTES_FOR_STARTS)) return shorter
  const least = { ...shorter, knownPeers: {} }
  return fitsInSlot(least, SPARE_BYTES_FOR_STARTS) ? least : null
}
