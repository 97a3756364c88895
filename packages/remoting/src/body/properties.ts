/**
 * Settings as lines of `key=value`, the way tools send them and Java's Properties reads them: the first of `=`, `:` and white space ends
 * the key, `#` and `!` begin a comment, `\` escapes.
 */

const ESCAPES: Readonly<Record<string, string>> = { t: '\t', n: '\n', r: '\r', f: '\f' }

export function decodeProperties(body: Buffer): Map<string, string> {
  const values = new Map<string, string>()
  // A line whose last character is an odd backslash goes on in the next one.
  const text = body.toString('utf8').replaceAll(/(?<!\\)((?:\\\\)*)\\(?:\r\n|\n|\r)[ \t\f]*/g, '$1')
  for (const line of text.split(/\r\n|\n|\r/)) {
    const [, key, value] = /^[ \t\f]*((?:\\.|[^\\=: \t\f])*)[ \t\f]*[=:]?[ \t\f]*(.*)$/.exec(line) ?? []
    if (key === undefined || value === undefined || key === '' || key.startsWith('#') || key.startsWith('!')) continue
    values.set(unescaped(key), unescaped(value).trim())
  }
  return values
}

function unescaped(text: string): string {
  return text.replaceAll(/\\(?:u([0-9a-fA-F]{4})|(.))/g, (_all, code: string | undefined, one: string | undefined) =>
    code === undefined ? (ESCAPES[one ?? ''] ?? one ?? '') : String.fromCharCode(Number.parseInt(code, 16)),
  )
}
