/**
 * The property by which a delivered message names the entry of its delay level that it ends: `<level>:<queueOffset>`.
 *
 * It stands first in the property block, so that apply finds or misses it by one comparison. It is ours alone: a client's
 * message that carries it is stored without.
 */
import { assert } from '@dledger-ts/base'
import { recordPropertiesSlice, removeProperty } from '@dledger-ts/protocol'

const NAME = 'DLEDGER_DELIVERED'
/** As long as NAME: makes of an encoded delivery one that delivers nothing, without a change of size. */
const VOID_NAME = 'DLEDGER_UNCOUNTED'
assert(NAME.length === VOID_NAME.length, 'a void delivery is as long as a real one')
const PREFIX = Buffer.from(`${NAME}\x01`)
/** Of the whole piece: name, separators, a level and an offset. */
export const DELIVERED_PROPERTY_BYTES_MAX = NAME.length + 2 + 3 + 1 + 16

export interface Delivered {
  readonly level: number
  readonly queueOffset: number
}

export function withDelivered(properties: string, level: number, queueOffset: number): string {
  return `${NAME}\x01${level}:${queueOffset}\x02${properties}`
}

/** The same block, as long as before, that names no entry. */
export function withoutCount(properties: string): string {
  return properties.startsWith(NAME) ? VOID_NAME + properties.slice(NAME.length) : properties
}

/** The block of a client's message without a property that would be taken for ours. Hot: costs one search. */
export function withoutForeignDelivered(properties: string): string {
  return properties.includes(NAME) ? removeProperty(properties, NAME) : properties
}

/** @returns what the record ends, undefined for every other record. Hot. */
export function deliveredOf(record: Buffer): Delivered | undefined {
  const properties = recordPropertiesSlice(record)
  if (properties.length <= PREFIX.length || properties[0] !== PREFIX[0]) return undefined
  if (PREFIX.compare(properties, 0, PREFIX.length) !== 0) return undefined
  const valueEnd = properties.indexOf(2)
  const value = properties.toString('latin1', PREFIX.length, valueEnd < 0 ? properties.length : valueEnd)
  const [level, queueOffset] = value.split(':').map(Number)
  if (!Number.isSafeInteger(level) || !Number.isSafeInteger(queueOffset)) return undefined
  return { level: level as number, queueOffset: queueOffset as number }
}
