/**
 * The JSON that RocketMQ's bodies are written in: JSON, and what fastjson adds to it.
 *
 *   {0:"a"}                                        keys that are bare numbers
 *   {{"brokerName":"b","queueId":0,"topic":"T"}:7}  keys that are objects
 *   {"$ref":"$.topicConfigTable.T"}                a value that stood elsewhere in the body already
 *
 * Reading: an object with an object as key becomes a `Map`, any other a plain object without prototype; whole numbers beyond
 * 2^53 become bigints; a reference becomes the value it names, or null when it names none. With its references a body says no more than one
 * without could: what names its own surroundings, or would be larger or deeper when it is written out, is refused.
 * Writing: numeric keys are quoted (every known client takes that), object keys are objects (newer clients take nothing else).
 *
 * Source: measured on fastjson 1.2 and fastjson2, which Java clients and servers use.
 */
import { badBody } from '../errors.ts'

export type DialectValue =
  null | boolean | number | bigint | string | DialectValue[] | DialectObject | Map<DialectValue, DialectValue>
export interface DialectObject {
  [key: string]: DialectValue
}

const DEPTH_MAX = 128
/** Characters, in about, that a body would have without its references: as many as the largest frame. */
const WRITTEN_OUT_MAX = 16 * 1024 * 1024

/** @throws RemotingError `BAD_BODY` when the text is not of this dialect. */
export function parseDialect(text: string): DialectValue {
  return new Parser(text).parse()
}

/**
 * Writes a table whose keys are objects (message queues), in the given order, without spaces.
 *
 * @param entries pairs of JSON texts.
 */
export function objectKeyedTable(entries: Iterable<readonly [key: string, value: string]>): string {
  let text = '{'
  for (const [key, value] of entries) text += `${text === '{' ? '' : ','}${key}:${value}`
  return `${text}}`
}

/** A value as it was read, as text: numeric keys quoted, object keys as objects, no spaces. */
export function dialectText(value: DialectValue): string {
  if (typeof value === 'bigint') return String(value)
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(dialectText).join(',')}]`
  const entries = value instanceof Map ? [...value] : Object.entries(value)
  return objectKeyedTable(entries.map(([key, one]) => [dialectText(key), dialectText(one)]))
}

class Parser {
  readonly #text: string
  #at = 0
  #depth = 0
  #hasReference = false

  constructor(text: string) {
    this.#text = text
  }

  parse(): DialectValue {
    const root = this.#value()
    this.#skipSpace()
    if (this.#at < this.#text.length) throw this.#unexpected()
    if (this.#hasReference) {
      replaceReferences(root, root)
      new WrittenOut().check(root)
    }
    return root
  }

  #value(): DialectValue {
    this.#skipSpace()
    switch (this.#text[this.#at]) {
      case '{':
        return this.#object()
      case '[':
        return this.#array()
      case '"':
        return this.#string()
      case 't':
        return this.#word('true', true)
      case 'f':
        return this.#word('false', false)
      case 'n':
        return this.#word('null', null)
      default:
        return this.#number()
    }
  }

  #object(): DialectObject | Map<DialectValue, DialectValue> {
    const object = Object.create(null) as DialectObject
    let map: Map<DialectValue, DialectValue> | undefined
    this.#enter()
    for (let isFirst = true; !this.#closes('}', isFirst); isFirst = false) {
      const key = this.#key()
      this.#expect(':')
      const value = this.#value()
      if (map === undefined && typeof key !== 'string')
        map = new Map<DialectValue, DialectValue>(Object.entries(object))
      if (map !== undefined) map.set(key, value)
      else object[key as string] = value
    }
    if (map === undefined && typeof object['$ref'] === 'string') this.#hasReference = true
    return map ?? object
  }

  /** @returns a string for an ordinary or numeric key, else the container that serves as key. */
  #key(): DialectValue {
    this.#skipSpace()
    const first = this.#text[this.#at]
    if (first === '"') return this.#string()
    if (first === '{' || first === '[') return this.#value()
    return String(this.#number())
  }

  #array(): DialectValue[] {
    const array: DialectValue[] = []
    this.#enter()
    for (let isFirst = true; !this.#closes(']', isFirst); isFirst = false) array.push(this.#value())
    return array
  }

  /** Skips the opening bracket. */
  #enter(): void {
    if (++this.#depth > DEPTH_MAX) throw badBody(`nested deeper than ${DEPTH_MAX}`)
    this.#at++
  }

  /** @returns whether the container ends here; takes the comma when it does not. */
  #closes(bracket: string, isFirst: boolean): boolean {
    this.#skipSpace()
    if (this.#text[this.#at] === bracket) {
      this.#at++
      this.#depth--
      return true
    }
    if (!isFirst) this.#expect(',')
    return false
  }

  /** Takes a string by letting JSON read the part between its quotes, escapes and all. */
  #string(): string {
    const from = this.#at
    let hasEscape = false
    for (let i = from + 1; i < this.#text.length; i++) {
      const c = this.#text.charCodeAt(i)
      if (c === 0x22) {
        this.#at = i + 1
        return hasEscape ? this.#unescape(from, i + 1) : this.#text.slice(from + 1, i)
      }
      if (c === 0x5c) {
        hasEscape = true
        i++
      }
    }
    throw badBody('a string does not end')
  }

  #unescape(from: number, to: number): string {
    let quoted = ''
    for (let i = from; i < to; i++) {
      const c = this.#text.charCodeAt(i)
      // Control characters may stand bare in a string; JSON wants them escaped.
      quoted += c < 0x20 ? `\\u${c.toString(16).padStart(4, '0')}` : this.#text[i]
    }
    try {
      return JSON.parse(quoted) as string
    } catch (error) {
      throw badBody(`a string at ${from} has an escape that is none`, error)
    }
  }

  #number(): number | bigint {
    const from = this.#at
    while (this.#at < this.#text.length && '+-.0123456789eE'.includes(this.#text[this.#at] as string)) this.#at++
    const text = this.#text.slice(from, this.#at)
    if (!/^-?\d+(\.\d+)?([eE][+-]?\d{1,3})?$/.test(text)) {
      this.#at = from
      throw this.#unexpected()
    }
    const value = Number(text)
    return Number.isSafeInteger(value) || !/^-?\d{1,40}$/.test(text) ? value : BigInt(text)
  }

  #word<T extends DialectValue>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at)) throw this.#unexpected()
    this.#at += word.length
    return value
  }

  #expect(character: string): void {
    this.#skipSpace()
    if (this.#text[this.#at] !== character) throw this.#unexpected()
    this.#at++
  }

  #skipSpace(): void {
    while (this.#at < this.#text.length && this.#text.charCodeAt(this.#at) <= 0x20) this.#at++
  }

  #unexpected(): Error {
    const found = this.#at < this.#text.length ? JSON.stringify(this.#text[this.#at]) : 'the end'
    return badBody(`unexpected ${found} at ${this.#at}`)
  }
}

/** Puts the values they name in the place of `{"$ref":…}` objects below `container`; null for a path that leads nowhere. */
function replaceReferences(container: DialectValue, root: DialectValue): void {
  const replaced = (value: DialectValue): DialectValue => {
    const path = referencePath(value)
    if (path !== undefined) return resolve(root, path) ?? null
    replaceReferences(value, root)
    return value
  }
  if (Array.isArray(container)) {
    for (let i = 0; i < container.length; i++) container[i] = replaced(container[i] as DialectValue)
  } else if (container instanceof Map) {
    for (const [key, value] of container) container.set(key, replaced(value))
  } else if (typeof container === 'object' && container !== null) {
    for (const [key, value] of Object.entries(container)) container[key] = replaced(value)
  }
}

/** What a value is with every reference written out: readers go through it so, though each part is in memory once. */
interface Extent {
  readonly size: number
  readonly depth: number
}

class WrittenOut {
  /** Of each container; null while it is looked at. */
  readonly #extents = new Map<object, Extent | null>()

  /** @throws RemotingError `BAD_BODY`. */
  check(root: DialectValue): void {
    this.#extentOf(root, 1)
  }

  #extentOf(value: DialectValue, level: number): Extent {
    if (typeof value === 'string') return { size: 2 + value.length, depth: 0 }
    if (typeof value !== 'object' || value === null) return { size: 1, depth: 0 }
    const known = this.#extents.get(value)
    if (known === null) throw badBody('a reference names what it is a part of')
    const extent = known ?? this.#measured(value, level)
    if (level + extent.depth - 1 > DEPTH_MAX) throw badBody(`nested deeper than ${DEPTH_MAX} by its references`)
    return extent
  }

  #measured(container: DialectValue[] | DialectObject | Map<DialectValue, DialectValue>, level: number): Extent {
    if (level > DEPTH_MAX) throw badBody(`nested deeper than ${DEPTH_MAX} by its references`)
    this.#extents.set(container, null)
    let size = 2
    let depth = 0
    const add = (part: DialectValue): void => {
      const extent = this.#extentOf(part, level + 1)
      size += 1 + extent.size
      depth = Math.max(depth, extent.depth)
      if (size > WRITTEN_OUT_MAX) throw badBody(`larger than ${WRITTEN_OUT_MAX} by its references`)
    }
    if (Array.isArray(container)) for (const part of container) add(part)
    else {
      for (const [key, part] of container instanceof Map ? container : Object.entries(container)) {
        add(key)
        add(part)
      }
    }
    const extent = { size, depth: depth + 1 }
    this.#extents.set(container, extent)
    return extent
  }
}

function referencePath(value: DialectValue): string | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Map) return undefined
  const path = value['$ref']
  return typeof path === 'string' ? path : undefined
}

/** Follows `$` and `$.name[0].name`. @returns undefined when the path leads nowhere, or to another reference. */
function resolve(root: DialectValue, path: string): DialectValue | undefined {
  if (!path.startsWith('$')) return undefined
  let value: DialectValue | undefined = root
  for (const step of path.slice(1).match(/[^.[\]]+/g) ?? []) {
    if (Array.isArray(value)) value = value[Number(step)]
    else if (value instanceof Map) value = value.get(step)
    else if (typeof value === 'object' && value !== null) value = value[step]
    else return undefined
  }
  return value === undefined || referencePath(value) !== undefined ? undefined : value
}
