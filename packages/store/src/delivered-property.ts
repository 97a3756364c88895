/**
 * The property by which a record names what it ends, so that applying it does both at once: `<level>:<queueOffset>` for a
 * message of a delay level, `timer:<outMs>:<physicalOffset>` for a timer, `half:<physicalOffset>` for a half
 * message (`moved-half:<physicalOffset>:<recordOffset>` once its record is elsewhere), `pop:<untilMs>:<queueId>:<queueOffset>:<group>:<topic>`
 * for a message that was popped and comes again.
 *
 * A record in the timers' own topic that names a timer or a message of a level moves it: it is pending at the new place.
 * `half-move:<physicalOffset>:<recordOffset>:<queueOffset>:<storeTimestamp>:<checkCount>:<checkedMs>` does so for a half message, and says
 * what stays as it was.
 *
 * It stands first in the property block, so that apply finds or misses it by one comparison. It is ours alone: a client's
 * message that carries it is stored without.
 *
 * Keeps: a kind that this program does not know is refused, never skipped, for all members must end the same.
 */
import { assert } from '@dledger-ts/base'
import { recordPropertiesSlice, removeProperty } from '@dledger-ts/protocol'
import { StoreError } from './errors.ts'
import type { HalfMessageRow } from './metadata/half-messages.ts'
import type { PoppedHandle } from './metadata/popped-messages.ts'

const NAME = 'DLEDGER_DELIVERED'
/** As long as NAME: makes of an encoded delivery one that delivers nothing, without a change of size. */
const VOID_NAME = 'DLEDGER_UNCOUNTED'
assert(NAME.length === VOID_NAME.length, 'a void delivery is as long as a real one')
const PREFIX = Buffer.from(`${NAME}\x01`)
/** Of the whole piece for everything that is delayed: name, separators, the longest kind and two numbers. */
export const DELIVERED_PROPERTY_BYTES_MAX = NAME.length + 2 + 6 + 16 + 1 + 16

export type Delivered =
  | { readonly kind: 'level'; readonly level: number; readonly queueOffset: number }
  | { readonly kind: 'timer'; readonly outMs: number; readonly physicalOffset: number }
  | { readonly kind: 'half'; readonly physicalOffset: number; readonly recordOffset: number }
  | ({ readonly kind: 'halfMove' } & MovedHalf)
  | { readonly kind: 'pop'; readonly message: PoppedHandle }

/** What is known of a half message beside its record, at the moment at which that is put again. */
export type MovedHalf = Pick<
  HalfMessageRow,
  'physicalOffset' | 'recordOffset' | 'queueOffset' | 'storeTimestamp' | 'checkCount' | 'checkedMs'
>

export function withDelivered(properties: string, delivered: Delivered): string {
  return `${NAME}\x01${valueOf(delivered)}\x02${properties}`
}

/** The same block, as long as before, that names nothing. */
export function withoutCount(properties: string): string {
  return properties.startsWith(NAME) ? VOID_NAME + properties.slice(NAME.length) : properties
}

/** The block of a client's message without a property that would be taken for ours. Hot: costs one search. */
export function withoutForeignDelivered(properties: string): string {
  return properties.includes(NAME) ? removeProperty(properties, NAME) : properties
}

/** @returns what the record ends, undefined for every other record. Hot. @throws StoreError UNSUPPORTED. */
export function deliveredOf(record: Buffer): Delivered | undefined {
  const properties = recordPropertiesSlice(record)
  if (properties.length <= PREFIX.length || properties[0] !== PREFIX[0]) return undefined
  if (PREFIX.compare(properties, 0, PREFIX.length) !== 0) return undefined
  const valueEnd = properties.indexOf(2)
  const value = properties.toString('latin1', PREFIX.length, valueEnd < 0 ? properties.length : valueEnd)
  const [kind = '', ...rest] = value.split(':')
  const [first, second] = rest.map(Number)
  if (/^\d+$/.test(kind) && isCount(first)) return { kind: 'level', level: Number(kind), queueOffset: first }
  if (kind === 'timer' && isCount(first) && isCount(second)) {
    return { kind: 'timer', outMs: first, physicalOffset: second }
  }
  if (kind === 'half' && isCount(first)) return { kind: 'half', physicalOffset: first, recordOffset: first }
  if (kind === 'moved-half' && isCount(first) && isCount(second)) {
    return { kind: 'half', physicalOffset: first, recordOffset: second }
  }
  if (kind === 'half-move' && rest.length === 6 && rest.map(Number).every(isCount)) {
    const [physicalOffset, recordOffset, queueOffset, storeTimestamp, checkCount, checkedMs] = rest.map(Number) as [
      number,
      number,
      number,
      number,
      number,
      number,
    ]
    return { kind: 'halfMove', physicalOffset, recordOffset, queueOffset, storeTimestamp, checkCount, checkedMs }
  }
  if (kind === 'pop' && isCount(first) && isCount(second)) {
    const [, , offsetText, group = '', topic = ''] = rest
    const queueOffset = Number(offsetText)
    if (isCount(queueOffset) && group !== '' && topic !== '') {
      return { kind: 'pop', message: { untilMs: first, queueId: second, queueOffset, group, topic } }
    }
  }
  const what = `a record ends ${JSON.stringify(value)}, which is not known here`
  throw new StoreError(what, { code: 'UNSUPPORTED', what })
}

function valueOf(delivered: Delivered): string {
  switch (delivered.kind) {
    case 'level':
      return `${delivered.level}:${delivered.queueOffset}`
    case 'timer':
      return `timer:${delivered.outMs}:${delivered.physicalOffset}`
    case 'half': {
      const { physicalOffset, recordOffset } = delivered
      return physicalOffset === recordOffset ? `half:${physicalOffset}` : `moved-half:${physicalOffset}:${recordOffset}`
    }
    case 'halfMove': {
      const { physicalOffset, recordOffset, queueOffset, storeTimestamp, checkCount, checkedMs } = delivered
      return ['half-move', physicalOffset, recordOffset, queueOffset, storeTimestamp, checkCount, checkedMs].join(':')
    }
    case 'pop': {
      const { untilMs, queueId, queueOffset, group, topic } = delivered.message
      return `pop:${untilMs}:${queueId}:${queueOffset}:${group}:${topic}`
    }
  }
}

function isCount(value: number | undefined): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
