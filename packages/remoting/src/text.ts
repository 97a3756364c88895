/** UTF-8 text into buffers; ASCII, the rule in headers, is written without an encoder. */

export function utf8Bytes(text: string): number {
  return Buffer.byteLength(text)
}

/** Writes `text`, whose `utf8Bytes` is `bytes`. @returns the position after it. */
export function writeUtf8(target: Buffer, text: string, at: number, bytes: number): number {
  target.write(text, at, bytes, bytes === text.length ? 'latin1' : 'utf8')
  return at + bytes
}

const QUOTED_BY_HAND_MAX = 128

/** @returns `text` as a JSON string. Hot: most header fields are short and need no escape, which a glance tells. */
export function quoted(text: string): string {
  const { length } = text
  if (length > QUOTED_BY_HAND_MAX) return JSON.stringify(text)
  for (let i = 0; i < length; i++) {
    const c = text.charCodeAt(i)
    // Control characters, the quote, the backslash, and surrogates, of which lone ones are escaped.
    if (c < 0x20 || c === 0x22 || c === 0x5c || c >= 0xd800) return JSON.stringify(text)
  }
  return `"${text}"`
}
