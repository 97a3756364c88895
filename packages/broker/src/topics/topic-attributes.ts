/**
 * Attributes of topics, and how a request changes them: `+key=value` sets, `-key` removes. Pure.
 *
 * Keeps: a change is taken whole or refused with Apache's words.
 *
 * Source: AttributeParser, AttributeUtil, TopicAttributes, TopicMessageType.
 */

/** Why a change is refused. */
export class AttributeError extends Error {
  readonly code = 'BAD_ATTRIBUTES'

  constructor(message: string) {
    super(message)
    this.name = 'AttributeError'
  }
}

interface Attribute {
  /** Set when the topic is created, and never after. */
  readonly isFixed: boolean
  /** @returns what is wrong with a value. */
  readonly fault: (value: string) => string | undefined
}

const INT64_MAX = 2n ** 63n - 1n

const MESSAGE_TYPE = 'message.type'
const ATTRIBUTES: ReadonlyMap<string, Attribute> = new Map<string, Attribute>([
  ['queue.type', { isFixed: true, fault: oneOf('BatchCQ', 'SimpleCQ') }],
  ['cleanup.policy', { isFixed: true, fault: oneOf('DELETE', 'COMPACTION') }],
  [MESSAGE_TYPE, { isFixed: false, fault: oneOf('UNSPECIFIED', 'NORMAL', 'FIFO', 'DELAY', 'TRANSACTION', 'MIXED') }],
  ['reserve.time', { isFixed: false, fault: reserveTimeFault }],
])

/** A request's changes by signed key, as `+message.type` → `FIFO`. @throws AttributeError */
export function parseAttributeChanges(text: string): Map<string, string> {
  const changes = new Map<string, string>()
  if (text === '') return changes
  for (const piece of text.split(',')) {
    const [key = '', value] = piece.split('=')
    if (piece.includes('=')) {
      if (!key.includes('+')) throw new AttributeError(`add/alter attribute format is wrong: ${key}`)
      if (value === undefined || value === '') throw new AttributeError(`add/alter attribute format is wrong: ${piece}`)
    } else if (!key.includes('-')) {
      throw new AttributeError(`delete attribute format is wrong: ${key}`)
    }
    if (changes.has(key)) throw new AttributeError(`key duplication: ${key}`)
    changes.set(key, value ?? '')
  }
  return changes
}

/** @param present attributes of the topic; undefined when it is created. @throws AttributeError */
export function changedAttributes(
  present: Readonly<Record<string, string>> | undefined,
  changes: ReadonlyMap<string, string>,
  known: ReadonlyMap<string, Attribute> = ATTRIBUTES,
): Record<string, string> {
  const result = new Map(Object.entries(present ?? {}))
  const seen = new Set<string>()
  for (const [signed, value] of changes) {
    const key = signed.slice(1)
    if (key === '' || key.includes('+') || key.includes('-')) throw new AttributeError('kv string format wrong.')
    if (seen.has(key)) throw new AttributeError(`alter duplication key. key: ${key}`)
    seen.add(key)
    const isAdded = signed.startsWith('+')
    if (!isAdded && present === undefined) {
      throw new AttributeError(`only add attribute is supported while creating topic. key: ${key}`)
    }
    if (!isAdded && !signed.startsWith('-')) throw new AttributeError(`wrong format key: ${key}`)
    if (!isAdded && !result.has(key)) throw new AttributeError(`attempt to delete a nonexistent key: ${key}`)
    const attribute = known.get(key)
    if (attribute === undefined) throw new AttributeError(`unsupported key: ${key}`)
    if (attribute.isFixed && present !== undefined) {
      throw new AttributeError(`attempt to update an unchangeable attribute. key: ${key}`)
    }
    const fault = isAdded ? attribute.fault(value) : undefined
    if (fault !== undefined) throw new AttributeError(fault)
    if (isAdded) result.set(key, value)
    else result.delete(key)
  }
  return Object.fromEntries(result)
}

/** Whether a topic is to take messages of every type. */
export function makesMixed(changes: ReadonlyMap<string, string>): boolean {
  return changes.get(`+${MESSAGE_TYPE}`) === 'MIXED'
}

function oneOf(...values: readonly string[]): Attribute['fault'] {
  return (value) => (values.includes(value) ? undefined : `value is not in set: [${values.join(', ')}]`)
}

function reserveTimeFault(value: string): string | undefined {
  if (!/^[+-]?[0-9]+$/.test(value)) return `For input string: "${value}"`
  const number = BigInt(value.replace(/^\+/, ''))
  return number < -1n || number > INT64_MAX ? `value is not in range(-1, ${INT64_MAX})` : undefined
}
