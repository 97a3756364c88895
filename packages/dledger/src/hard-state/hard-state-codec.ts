/**
 * What a member remembers beside its log, and how it is read from a slot: field by field; a value of the wrong kind makes the
 * slot invalid.
 */
import type { BeforeFirst, DurableHint } from '../log/recovery.ts'

/** The configuration in force where a trimmed log starts: its entry is gone. */
export interface BaseConfiguration {
  readonly index: number
  /** As in the entry, without its envelope. */
  readonly payload: string
}

/**
 * Another member's log and state on their way here, below `incoming/`.
 *
 *   STAGING    they are being received; this member's own log counts.
 *   SWITCHING  they are whole and synced; from here on they are this member's log, wherever their files stand.
 *   RESTORING  the files are in place; the state is still to be taken in.
 */
export interface Incoming {
  readonly phase: 'STAGING' | 'SWITCHING' | 'RESTORING'
  /**
   * Only the state is on its way: this member's own log stays, from the entry after `beforeFirst` on. It has lost entries below, which
   * nobody has any more. Left out: false.
   */
  readonly stateOnly?: boolean
  readonly beforeFirst: BeforeFirst
  readonly baseConfiguration: BaseConfiguration | null
  /** The received log is synced up to here; null: nothing of it. */
  readonly hint: DurableHint | null
  readonly configurationIndexes: readonly number[]
  /** `bytes` of it are synced; all of it when `isWhole`. */
  readonly snapshot: IncomingSnapshot | null
}

export interface IncomingSnapshot {
  readonly index: number
  readonly id: string
  readonly bytes: number
  readonly isWhole: boolean
  /** CRC-32 of these bytes, as they were written. Left out by older versions: not known. */
  readonly crc?: number
}

export interface HardState {
  readonly group: string
  readonly member: string
  readonly storeId: string
  /** Counts the openings of this directory, this one included; 0 in files that an older program wrote. */
  readonly incarnation: number
  /** The ones before, oldest first, as many as are told to peers. Left out: none. */
  readonly formerIncarnations?: readonly number[]
  readonly term: number
  readonly votedFor: string | null
  readonly fileBytes: number
  /** Entries from this index on have checksums. */
  readonly checksummedFrom: number
  readonly bootId: string | null
  /** Whether acknowledgements before a sync were ever given. */
  readonly asyncAcks: boolean
  readonly cleanStop: boolean
  /** What it acknowledged may be gone; until a leader has said what it must hold, and it does. Absent in older files: false. */
  readonly recovering: boolean
  readonly durableHint: DurableHint | null
  readonly beforeFirst: BeforeFirst | null
  /** The log's configuration entries up to the durable hint, written together with it; null or left out: not known. */
  readonly configurationIndexes?: readonly number[] | null
  /** Written together with `beforeFirst`; null or left out: the log still has all its configurations. */
  readonly baseConfiguration?: BaseConfiguration | null
  /** Null or left out: nothing is on its way. */
  readonly incoming?: Incoming | null
  /** This store neither votes nor stands before a configuration names it. Left out: false. */
  readonly mustBeNamed?: boolean
  /** The store that an entry of the log has named, once; left out: none. Counts while it is `storeId`. */
  readonly namedAs?: string | null
  /** Why this store leads nobody any more: another one was made the master by hand. Null or left out: none was, as far as is known. */
  readonly outdated?: string | null
  /** What was last seen of each peer: its store, and the highest life of that. Left out: nothing. */
  readonly knownPeers?: Readonly<Record<string, KnownPeer>>
}

export interface KnownPeer {
  readonly storeId: string
  readonly incarnation: number
}

type Fields = Readonly<Record<string, unknown>>

/** @returns null when it is not a hard state. */
export function decodeHardState(content: Buffer): HardState | null {
  let parsed: unknown
  try {
    parsed = JSON.parse(content.toString('utf8'))
  } catch (error) {
    if (error instanceof SyntaxError) return null
    throw error
  }
  const fields = asFields(parsed)
  if (fields === null) return null
  const group = asString(fields['group'])
  const member = asString(fields['member'])
  const storeId = asString(fields['storeId'])
  const incarnation = asCount(fields['incarnation'] ?? 0)
  const formerIncarnations = asIndexes(fields['formerIncarnations'] ?? [])
  const term = asCount(fields['term'])
  const votedFor = orNull(fields['votedFor'], asString)
  const fileBytes = asCount(fields['fileBytes'])
  const checksummedFrom = asCount(fields['checksummedFrom'])
  const bootId = orNull(fields['bootId'], asString)
  const { asyncAcks, cleanStop } = fields
  const durableHint = orNull(fields['durableHint'], asHint)
  const beforeFirst = orNull(fields['beforeFirst'], asBeforeFirst)
  const configurationIndexes = orNull(fields['configurationIndexes'] ?? null, asIndexes)
  const baseConfiguration = orNull(fields['baseConfiguration'] ?? null, asBaseConfiguration)
  const mustBeNamed = fields['mustBeNamed'] ?? false
  const knownPeers = asKnownPeers(fields['knownPeers'] ?? {})
  const namedAs = orNull(fields['namedAs'] ?? null, asString)
  const outdated = orNull(fields['outdated'] ?? null, asString)
  if (typeof mustBeNamed !== 'boolean' || namedAs === undefined || knownPeers === null) return null
  if (outdated === undefined) return null
  if (group === null || member === null || storeId === null || term === null || fileBytes === null) return null
  if (incarnation === null || formerIncarnations === null) return null
  const recovering = fields['recovering'] ?? false
  if (typeof recovering !== 'boolean') return null
  if (checksummedFrom === null || typeof asyncAcks !== 'boolean' || typeof cleanStop !== 'boolean') return null
  if (votedFor === undefined || bootId === undefined || durableHint === undefined) return null
  if (beforeFirst === undefined || configurationIndexes === undefined) return null
  const incoming = orNull(fields['incoming'] ?? null, asIncoming)
  if (baseConfiguration === undefined || incoming === undefined) return null
  const trimmed = {
    ...(baseConfiguration === null ? {} : { baseConfiguration }),
    ...(incoming === null ? {} : { incoming }),
  }
  const vote = { term, votedFor }
  const log = {
    fileBytes,
    checksummedFrom,
    durableHint,
    beforeFirst,
    configurationIndexes,
    ...trimmed,
  }
  const membership = {
    ...(mustBeNamed ? { mustBeNamed } : {}),
    ...(namedAs === null ? {} : { namedAs }),
    ...(outdated === null ? {} : { outdated }),
    ...(Object.keys(knownPeers).length === 0 ? {} : { knownPeers }),
  }
  return {
    group,
    member,
    storeId,
    incarnation,
    ...(formerIncarnations.length === 0 ? {} : { formerIncarnations }),
    ...vote,
    ...log,
    bootId,
    asyncAcks,
    cleanStop,
    recovering,
    ...membership,
  }
}

function asFields(value: unknown): Fields | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : null
}

function asString(value: unknown): string | null {
  return typeof value === 'string' ? value : null
}

function asCount(value: unknown): number | null {
  return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : null
}

/** -1 means none yet. */
function asIndex(value: unknown): number | null {
  return value === -1 ? -1 : asCount(value)
}

function asHint(value: unknown): DurableHint | null {
  const fields = asFields(value)
  if (fields === null) return null
  const index = asIndex(fields['index'])
  const endPos = asCount(fields['endPos'])
  const chain = asCount(fields['chain'])
  // Older versions did not write it.
  const term = fields['term'] === undefined ? undefined : asCount(fields['term'])
  if (index === null || endPos === null || chain === null || term === null) return null
  return term === undefined ? { index, endPos, chain } : { index, endPos, chain, term }
}

function asBeforeFirst(value: unknown): BeforeFirst | null {
  const hint = asHint(value)
  const term = asCount(asFields(value)?.['term'])
  return hint === null || term === null ? null : { ...hint, term }
}

function asBaseConfiguration(value: unknown): BaseConfiguration | null {
  const index = asCount(asFields(value)?.['index'])
  const payload = asString(asFields(value)?.['payload'])
  return index === null || payload === null ? null : { index, payload }
}

function asIncoming(value: unknown): Incoming | null {
  const fields = asFields(value)
  if (fields === null) return null
  const { phase } = fields
  const beforeFirst = asBeforeFirst(fields['beforeFirst'])
  const baseConfiguration = orNull(fields['baseConfiguration'], asBaseConfiguration)
  const hint = orNull(fields['hint'], asHint)
  const configurationIndexes = asIndexes(fields['configurationIndexes'])
  const snapshot = orNull(fields['snapshot'], asIncomingSnapshot)
  const stateOnly = fields['stateOnly'] ?? false
  if (typeof stateOnly !== 'boolean') return null
  if (phase !== 'STAGING' && phase !== 'SWITCHING' && phase !== 'RESTORING') return null
  if (beforeFirst === null || configurationIndexes === null) return null
  if (baseConfiguration === undefined || hint === undefined || snapshot === undefined) return null
  const incoming: Incoming = { phase, beforeFirst, baseConfiguration, hint, configurationIndexes, snapshot }
  return stateOnly ? { ...incoming, stateOnly } : incoming
}

function asIncomingSnapshot(value: unknown): IncomingSnapshot | null {
  const fields = asFields(value)
  if (fields === null) return null
  const index = asIndex(fields['index'])
  const id = asString(fields['id'])
  const bytes = asCount(fields['bytes'])
  const { isWhole } = fields
  const crc = fields['crc'] === undefined ? undefined : asCount(fields['crc'])
  if (index === null || id === null || bytes === null || typeof isWhole !== 'boolean' || crc === null) return null
  return { index, id, bytes, isWhole, ...(crc === undefined ? {} : { crc }) }
}

function asKnownPeers(value: unknown): Readonly<Record<string, KnownPeer>> | null {
  const fields = asFields(value)
  if (fields === null) return null
  const peers: Record<string, KnownPeer> = {}
  for (const [id, peer] of Object.entries(fields)) {
    const storeId = asString(asFields(peer)?.['storeId'])
    const incarnation = asCount(asFields(peer)?.['incarnation'])
    if (storeId === null || incarnation === null) return null
    peers[id] = { storeId, incarnation }
  }
  return peers
}

function asIndexes(value: unknown): readonly number[] | null {
  if (!Array.isArray(value)) return null
  const indexes = value.map(asCount)
  return indexes.every((index) => index !== null) ? indexes : null
}

/** @returns undefined when the value is neither null nor of the kind. */
function orNull<Kind>(value: unknown, decode: (value: unknown) => Kind | null): Kind | null | undefined {
  return value === null ? null : (decode(value) ?? undefined)
}
