/**
 * Reads a Java properties file as Apache's brokers use it: `key=value` lines, `#` comments, `\` escapes.
 *
 * What Java would take silently and people do not mean is a warning: a key given twice, a `#` inside a value.
 */
import { readFileSync } from 'node:fs'
import { open, readFile, rename, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { Pair, parseLines, stringify } from 'dot-properties'

export interface PropertiesFile {
  readonly values: Readonly<Record<string, string>>
  readonly warnings: readonly string[]
}

/** @throws Error with a line that names the file when it cannot be read. */
export function readPropertiesFile(path: string): PropertiesFile {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    throw new Error(`the configuration file ${path} cannot be read: ${(cause as Error).message}`, { cause })
  }
  return parseProperties(text, path)
}

/**
 * Changes keys of a properties file; comments and other keys stay. The file has all of it after a crash, or nothing.
 *
 * @throws when it cannot be read or written.
 */
export async function changePropertiesFile(path: string, changes: ReadonlyMap<string, string>): Promise<void> {
  const { mode } = await stat(path)
  const left = new Map(changes)
  const lines = parseLines(await readFile(path, 'utf8'), true)
  for (const line of lines) {
    const value = line instanceof Pair ? changes.get(line.key) : undefined
    if (!(line instanceof Pair) || value === undefined) continue
    line.value = value
    left.delete(line.key)
  }
  const format = { keySep: '=', latin1: false, lineWidth: null }
  const parts = [stringify(lines, format), stringify(Object.fromEntries(left), format)]
  const text = parts.map((part) => (part === '' || part.endsWith('\n') ? part : `${part}\n`)).join('')
  const next = `${path}.next`
  const file = await open(next, 'w', mode)
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(next, path)
  const directory = await open(dirname(path), 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

/** @param name stands before each warning. */
export function parseProperties(text: string, name: string): PropertiesFile {
  const values: Record<string, string> = {}
  const warnings: string[] = []
  for (const line of parseLines(text, true)) {
    if (!(line instanceof Pair)) continue
    const { key, value } = line
    if (Object.hasOwn(values, key))
      warnings.push(`${name}: ${key} is given twice; the last value (${shown(key, value)}) counts`)
    if (/\s#/.test(value))
      warnings.push(
        `${name}: ${key}=${shown(key, value)}: the # belongs to the value; comments need a line of their own`,
      )
    values[key] = value.trim()
  }
  return { values, warnings }
}

/** Warnings stand in logs, and these keys have passwords. */
function shown(key: string, value: string): string {
  return /authentication|password|secret|credential/i.test(key) ? '******' : value
}
