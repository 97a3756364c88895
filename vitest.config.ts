import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'
import { LongestFirst } from './test/longest-first.ts'

export default defineConfig({
  test: {
    pool: 'forks',
    // Tests of real processes wait more than they compute: on two cores one worker would leave one of them idle.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    include: ['packages/*/src/**/*.test.ts', 'test/**/*.test.ts', 'bench/**/*.test.ts'],
    exclude: ['**/node_modules/**', '**/dist/**', 'test/interop/**'],
    testTimeout: 60_000,
    sequence: { sequencer: LongestFirst },
    setupFiles: process.env['PROPERTY_SEED'] === undefined ? [] : ['test/property-seed.ts'],
  },
})
