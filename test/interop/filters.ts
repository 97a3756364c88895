/** What our SQL92 filters say of expressions and messages, against what Apache's filter module says of the same. */
import { randomInt } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ExpressionError, Sql92 } from '@dledger-ts/broker'
import { missingCommand, type StorePeer } from './clients.ts'
import { type FilterCase, filterCases } from './filter-cases.ts'
import type { Report } from './report.ts'

const CASES = 40_000
const SHOWN_MAX = 8

export async function runFilters(peer: StorePeer, report: Report): Promise<void> {
  const missing = await missingCommand(peer)
  if (missing !== undefined) return report.skipped(peer.name, `${missing} is not installed`)
  report.suite(peer.name)
  const root = mkdtempSync(join(tmpdir(), 'interop-filter-'))
  const seed = Number(process.env['FILTER_SEED'] ?? randomInt(2 ** 31))
  try {
    await peer.build()
    const cases = filterCases(seed, CASES)
    const file = join(root, 'cases')
    const base64 = (text: string) => Buffer.from(text).toString('base64')
    writeFileSync(file, cases.map((one) => `${base64(one.expression)} ${base64(one.properties)}`).join('\n'))
    const lines = (await peer.run('EvaluateFilters', [file], root)).filter((line) => line.startsWith('outcome '))
    compare(cases, lines, seed, report)
  } catch (failure) {
    report.check('the suite runs to its end', false, failure instanceof Error ? failure.message : String(failure))
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
}

function compare(cases: readonly FilterCase[], lines: readonly string[], seed: number, report: Report): void {
  const counts = new Map<string, number>()
  const different: string[] = []
  for (const [i, one] of cases.entries()) {
    const theirs = lines[i]?.slice('outcome '.length) ?? 'nothing'
    const ours = outcomeOf(one)
    counts.set(theirs, (counts.get(theirs) ?? 0) + 1)
    if (ours !== theirs) {
      different.push(
        `${JSON.stringify(one.expression)} of ${JSON.stringify(one.properties)}: ${ours}, theirs ${theirs}`,
      )
    }
  }
  const shown = different.slice(0, SHOWN_MAX).map((line) => `\n           ${line}`)
  const counted = [...counts].map(([outcome, count]) => `${count} ${outcome}`).join(', ')
  const detail = `${cases.length} (${counted}), ${different.length} different, FILTER_SEED=${seed}${shown.join('')}`
  report.check('expressions evaluated by both', different.length === 0, detail)
}

function outcomeOf({ expression, properties }: FilterCase): string {
  try {
    return String(new Sql92(expression).evaluate(properties))
  } catch (error) {
    if (error instanceof ExpressionError) return 'refused'
    throw error
  }
}
