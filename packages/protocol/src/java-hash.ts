/**
 * Java's string hash, which the store's files and the clients' filters are built on.
 */

/** @returns `String.hashCode` of Java: s[0]·31^(n−1) + … over UTF-16 units, wrapping at 32 bits. Hot. */
export function javaHash(text: string): number {
  let hash = 0
  for (let i = 0; i < text.length; i++) hash = (Math.imul(hash, 31) + text.charCodeAt(i)) | 0
  return hash
}

/** @returns the code of a message's tag in its ConsumeQueue entry: the hash of the tag, 0 without one. */
export function tagsCode(tags: string | undefined): number {
  return tags === undefined ? 0 : javaHash(tags)
}

/** @returns the hash by which the key index files `topic#key`: never negative; Java's |MIN_INT| is 0. */
export function indexHash(key: string): number {
  const hash = Math.abs(javaHash(key))
  return hash > 0x7fff_ffff ? 0 : hash
}
