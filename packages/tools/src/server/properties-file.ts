/**
 * Reads a Java properties file as Apache's brokers use it: `key=value` lines, `#` comments, `\` escapes.
 *
 * What Java would take silently and people do not mean is a warning: a key given twice, a `#` inside a value.
 */
import { readFileSync } from 'node:fs'
import { Pair, parseLines } from 'dot-properties'

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
