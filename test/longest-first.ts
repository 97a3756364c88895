/** The order of test files: real processes and simulations take minutes, and none of them shall be left for the end, alone on its core. */
import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
/** Whatever is not named comes last. */
const FIRST = ['test/processes/failover', 'test/processes/members', 'test/simulation', 'test/', 'packages/dledger']

export class LongestFirst extends BaseSequencer {
  override sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const path = relative(ROOT, moduleId)
      const found = FIRST.findIndex((prefix) => path.startsWith(prefix))
      return found < 0 ? FIRST.length : found
    }
    return Promise.resolve(files.toSorted((a, b) => rank(a) - rank(b)))
  }
}
