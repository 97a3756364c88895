/**
 * The property block of a message: `key \x01 value \x02` repeated.
 *
 * Reading rules (Java's): split at \x02, then at the first \x01; a piece shorter than three characters, without separator,
 * with an empty key or an empty value is dropped; the last of equal keys wins. The block a client sent is kept as text and
 * searched in place: on the hot path nobody needs a map of it.
 *
 * Source: org.apache.rocketmq.common.message.MessageDecoder.string2messageProperties.
 */
import { ProtocolError } from './errors.ts'

const NAME_END = '\x01'
const VALUE_END = '\x02'
const NAME_END_CODE = 1
const VALUE_END_CODE = 2
/** The property block's length is an int16. */
export const PROPERTIES_BYTES_MAX = 32_767

/** @returns the properties by name, in the order of their first appearance. */
export function decodeProperties(text: string): Map<string, string> {
  const properties = new Map<string, string>()
  let from = 0
  while (from < text.length) {
    const valueEnd = text.indexOf(VALUE_END, from)
    const to = valueEnd < 0 ? text.length : valueEnd
    const nameEnd = text.indexOf(NAME_END, from)
    if (nameEnd > from && nameEnd < to - 1) properties.set(text.slice(from, nameEnd), text.slice(nameEnd + 1, to))
    from = to + 1
  }
  return properties
}

/**
 * Writes each pair as `name \x01 value \x02`; pairs without a value are left out.
 *
 * @throws ProtocolError `BAD_TEXT` when a name or value holds a separator that would change how it is read.
 */
export function encodeProperties(properties: Iterable<readonly [string, string | null | undefined]>): string {
  let text = ''
  for (const [name, value] of properties) {
    if (value === null || value === undefined) continue
    text += property(name, value)
  }
  return text
}

/** @returns the value of `name`, or undefined when the block has none by the reading rules. Hot. */
export function getProperty(text: string, name: string): string | undefined {
  let found: string | undefined
  for (let at = findName(text, name, 0); at >= 0; at = findName(text, name, at + 1)) {
    const from = at + name.length + 1
    const valueEnd = text.indexOf(VALUE_END, from)
    const to = valueEnd < 0 ? text.length : valueEnd
    // The last of equal names wins, but one without a value is no property.
    if (to > from) found = text.slice(from, to)
  }
  return found
}

/** Whether the block has a value for `name`. Hot. */
export function hasProperty(text: string, name: string): boolean {
  return getProperty(text, name) !== undefined
}

/** @returns the block without any piece named `name`; the same string when there is none. */
export function removeProperty(text: string, name: string): string {
  let at = findName(text, name, 0)
  if (at < 0) return text
  let rest = ''
  let from = 0
  // In one pass: a block may have thousands of them.
  for (; at >= 0; at = findName(text, name, from)) {
    rest += text.slice(from, at)
    const valueEnd = text.indexOf(VALUE_END, at)
    from = valueEnd < 0 ? text.length : valueEnd + 1
  }
  return rest + text.slice(from)
}

/** @returns the block with exactly this value for `name`, put at the end. @throws ProtocolError `BAD_TEXT` as `encodeProperties`. */
export function setProperty(text: string, name: string, value: string): string {
  return appendProperties(removeProperty(text, name), property(name, value))
}

/** @returns the block itself when it has a value for `name`, else with this one added. */
export function addPropertyIfAbsent(text: string, name: string, value: string): string {
  return hasProperty(text, name) ? text : setProperty(text, name, value)
}

/** Joins two blocks, closing the first one with \x02 when its writer did not. */
export function appendProperties(text: string, more: string): string {
  if (text.length === 0) return more
  if (more.length === 0 || text.charCodeAt(text.length - 1) === VALUE_END_CODE) return text + more
  return text + VALUE_END + more
}

/** @returns one piece, `name \x01 value \x02`. */
function property(name: string, value: string): string {
  if (name.length === 0 || name.includes(NAME_END) || name.includes(VALUE_END) || value.includes(VALUE_END)) {
    throw new ProtocolError(`property ${JSON.stringify(name)} is empty or holds a separator`, {
      code: 'BAD_TEXT',
      what: 'property',
      text: name,
    })
  }
  return name + NAME_END + value + VALUE_END
}

/** @returns where the first piece named `name` that begins at `from` or later begins, or -1. */
function findName(text: string, name: string, from: number): number {
  // An empty name would be found everywhere, and names nothing.
  if (name.length === 0) return -1
  for (let at = text.indexOf(name, from); at >= 0; at = text.indexOf(name, at + 1)) {
    const startsPiece = at === 0 || text.charCodeAt(at - 1) === VALUE_END_CODE
    if (startsPiece && text.charCodeAt(at + name.length) === NAME_END_CODE) return at
  }
  return -1
}
