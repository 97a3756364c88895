/**
 * Settings as lines of `key=value`, the way tools send them and Java's Properties reads them: the first of `=`, `:` and white space ends
 * the key, `#` and `!` begin a comment, `\` escapes.
 */
import { badBody } from '../errors.ts'

/** Far beyond what a tool changes at once. */
const BYTES_MAX = 64 * 1024
const ESCAPES: Readonly<Record<string, string>> = { t: '\t', n: '\n', r: '\r', f: '\f' }

/** @throws RemotingError `BAD_BODY` for more than BYTES_MAX. */
export function decodeProperties(body: Buffer): Map<string, string> {
  if (body.length > BYTES_MAX) throw badBody(`settings of ${body.length} bytes, at most ${BYTES_MAX} are taken`)
  const values = new Map<string, string>()
  // A line whose last character is an odd backslash goes on in the next one.
  const text = body.toString('utf8').replaceAll(/(?<!\\)((?:\\\\)*)\\(?:\r\n|\n|\r)[ \t\f]*/g, '$1')
  for (const line of text.split(/\r\n|\n|\r/)) {
    // `[^]` where `.` leaves out two line ends of Unicode: each line matches at the first try, and no number of spaces is tried again.
    const [, key, value] = /^[ \t\f]*((?:\\[^]|[^\\=: \t\f])*)[ \t\f]*[=:]?[ \t\f]*([^]*)$/.exec(line) ?? []
    if (key === undefined || value === undefined || key === '' || key.startsWith('#') || key.startsWith('!')) continue
    values.set(unescaped(key), unescaped(value).trim())
  }
  return values
}

function unescaped(text: string): string {
  return text.replaceAll(/\\(?:u([0-9a-fA-F]{4})|([^]))/g, (_all, code: string | undefined, one: string | undefined) =>
    code === undefined ? (ESCAPES[one ?? ''] ?? one ?? '') : String.fromCharCode(Number.parseInt(code, 16)),
  )
}
