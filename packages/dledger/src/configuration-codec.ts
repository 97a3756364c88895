/**
 * The payload of a configuration entry: JSON, because it is rare and people read it in dumps.
 *
 *   {"v":1,"voters":[{"id":…,"storeId":…}]}                              as long as there is no learner and no address
 *   {"v":2,"voters":[{"id":…,"storeId":…,"address":…}],"learners":[{"id":…,"storeId":…,"address":…,"promote":…}]}
 *   {"v":3, as v 2,"formers":[{"storeId":…,"lastIndex":…}]}             after a copy was made a master by hand
 */
import { DLedgerError } from './errors.ts'
import type { Configuration, FormerMaster, Learner, Member } from './raft/configuration.ts'

export function encodeConfiguration({ voters, learners, formers = [] }: Configuration): Buffer {
  if (formers.length > 0) {
    const named = { voters: voters.map(memberFields), learners: learners.map(learnerFields) }
    return Buffer.from(JSON.stringify({ v: 3, ...named, formers: formers.map(formerFields) }))
  }
  const isPlain = learners.length === 0 && voters.every(({ address }) => address === null)
  const content = isPlain
    ? { v: 1, voters: voters.map(({ id, storeId }) => ({ id, storeId })) }
    : { v: 2, voters: voters.map(memberFields), learners: learners.map(learnerFields) }
  return Buffer.from(JSON.stringify(content))
}

/** @throws DLedgerError CORRUPT for what is no configuration, INVALID for a newer version. */
export function decodeConfiguration(payload: Buffer): Configuration {
  let value: unknown
  try {
    value = JSON.parse(payload.toString())
  } catch (cause) {
    throw new DLedgerError('a configuration entry is not JSON', { code: 'CORRUPT', file: 'log', at: -1 }, { cause })
  }
  if (typeof value !== 'object' || value === null) throw unreadable()
  const { v, voters, learners = [], formers = [] } = value as Readonly<Record<string, unknown>>
  if (v !== 1 && v !== 2 && v !== 3) {
    const what = `the log holds a configuration entry of version ${String(v)}; this program knows up to version 3`
    throw new DLedgerError(what, { code: 'INVALID', what })
  }
  if (!Array.isArray(voters) || !Array.isArray(learners) || voters.length === 0) throw unreadable()
  if (!Array.isArray(formers) || (v === 3) !== formers.length > 0) throw unreadable()
  const configuration = {
    voters: voters.map(decodeMember),
    learners: learners.map(decodeLearner),
    ...(v === 3 ? { formers: formers.map(decodeFormer) } : {}),
  }
  const ids = [...configuration.voters, ...configuration.learners].map((member) => member.id)
  if (new Set(ids).size !== ids.length) throw unreadable()
  return configuration
}

function memberFields({ id, storeId, address }: Member): Member {
  return { id, storeId, address }
}

function learnerFields({ id, storeId, address, promote }: Learner): Learner {
  return { id, storeId, address, promote }
}

function formerFields({ storeId, lastIndex }: FormerMaster): FormerMaster {
  return { storeId, lastIndex }
}

function decodeFormer(value: unknown): FormerMaster {
  if (typeof value !== 'object' || value === null) throw unreadable()
  const { storeId, lastIndex } = value as { storeId?: unknown; lastIndex?: unknown }
  if (typeof storeId !== 'string' || !Number.isSafeInteger(lastIndex)) throw unreadable()
  return { storeId, lastIndex: lastIndex as number }
}

function decodeMember(value: unknown): Member {
  if (typeof value !== 'object' || value === null) throw unreadable()
  const { id, storeId, address = null } = value as { id?: unknown; storeId?: unknown; address?: unknown }
  if (typeof id !== 'string' || (storeId !== null && typeof storeId !== 'string')) throw unreadable()
  if (address !== null && typeof address !== 'string') throw unreadable()
  return { id, storeId, address }
}

function decodeLearner(value: unknown): Learner {
  const member = decodeMember(value)
  const { promote } = value as { promote?: unknown }
  if (typeof promote !== 'boolean') throw unreadable()
  return { ...member, promote }
}

function unreadable(): DLedgerError {
  return new DLedgerError('a configuration entry has an unknown shape', { code: 'CORRUPT', file: 'log', at: -1 })
}
