/** The README's table of options is true: every setting has a row, with its default. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { DEFAULT_SETTINGS } from './config.ts'

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
const UNITS: Readonly<Record<string, number>> = { KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 }

/** Name of an option → what its row says the default is. */
function documented(): Map<string, string> {
  const found = new Map<string, string>()
  for (const line of readme.split('\n')) {
    const cells = line.split('|').map((cell) => cell.trim())
    if (cells.length !== 6) continue
    const names = [...(cells[1] as string).matchAll(/`(\w+)`/g)].map((match) => match[1] as string)
    const defaults = (cells[3] as string).split(', ')
    names.forEach((name, i) => found.set(name, defaults[i] ?? ''))
  }
  return found
}

function valueOf(text: string): unknown {
  if (text === 'none') return null
  const quantity = /^(\d[\d,]*) (KiB|MiB|GiB)$/.exec(text)
  if (quantity !== null) return Number(quantity[1]) * (UNITS[quantity[2] as string] as number)
  if (/^\d+$/.test(text)) return Number(text)
  if (text === 'true' || text === 'false') return text === 'true'
  return text.replaceAll('`', '')
}

test.each(Object.entries(DEFAULT_SETTINGS))('the README names the option %s with its default', (name, value) => {
  const text = documented().get(name)
  expect(text, `a row for ${name}`).toBeDefined()
  expect(valueOf(text as string)).toEqual(value)
})
