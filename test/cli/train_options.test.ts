import { Command } from "commander";
import { describe, expect, test } from "vitest";
import { refuseIdle, refuseIdleVae } from "../../src/cli/idle_options.ts";
import { parseOptions } from "../../src/cli/options.ts";
import { addTrain, addTrainVae, givenTo } from "../../src/cli/train_commands.ts";
import { TrainOptions, TrainVaeOptions } from "../../src/cli/train_options.ts";

const commandOf = (add: (toile: Command) => Command, args: string) =>
  add(new Command()).parse(args === "" ? [] : args.split(" "), { from: "user" });

function train(args: string) {
  const command = commandOf(addTrain, args);
  const options = parseOptions(TrainOptions, command.opts());
  refuseIdle(options, givenTo(command));
  return options;
}

function trainVae(args: string) {
  const command = commandOf(addTrainVae, args);
  const options = parseOptions(TrainVaeOptions, command.opts());
  refuseIdleVae(options, givenTo(command));
  return options;
}

describe("options of trainings", () => {
  test.each([
    ["--ema_decay 0.5", "--ema_decay needs --use_ema"],
    ["--lr_power 3 --lr_scheduler linear", "--lr_power needs --lr_scheduler polynomial"],
    ["--lr_num_cycles 2 --lr_scheduler cosine", "--lr_num_cycles needs --lr_scheduler cosine_with_restarts"],
    ["--drawn_seed 3 --dataset_dir d", "--drawn_seed needs --drawn"],
    ["--masks given --drawn 4", "--masks needs --dataset_dir: drawn pairs have their own"],
    ["--resolution 256 --height 512", "--height is told by --resolution already: leave one out"],
    [
      "--timestep_bias_portion 0.9 --timestep_bias_end 5",
      "--timestep_bias_portion needs --timestep_bias_strategy earlier or later; --timestep_bias_end needs --timestep_bias_strategy range",
    ],
    ["--timestep_bias_strategy later", "--timestep_bias_strategy needs a --timestep_bias_multiplier that is not 1"],
  ])("%s would change nothing, and is refused", (args, says) => {
    expect(() => train(args)).toThrow(says);
  });

  test("those that change something are taken, defaults included", () => {
    expect(train("--drawn 4")).toMatchObject({ width: 384, height: 512, lr_power: 1, drawn_seed: 0 });
    const used =
      "--drawn 4 --drawn_seed 3 --use_ema --ema_decay 0.5 --lr_scheduler polynomial --lr_power 3 " +
      "--timestep_bias_strategy later --timestep_bias_multiplier 4 --timestep_bias_portion 0.9";
    expect(train(used)).toMatchObject({ ema_decay: 0.5, lr_power: 3, timestep_bias_portion: 0.9 });
    expect(train("--dataset_dir d --masks given").masks).toBe("given");
  });

  test("--resolution is width and height", () => {
    expect(train("--drawn 4 --resolution 256")).toMatchObject({ width: 256, height: 256 });
    expect(() => train("--drawn 4 --resolution 250")).toThrow('--resolution "250" is not divisible by 8');
    expect(() => trainVae("--drawn 4 --resolution 32")).toThrow("--resolution");
    expect(() => trainVae("--drawn 4 --resolution 64 --crop 72")).toThrow("is larger than 64x64");
  });

  test("an autoencoder begins afresh or goes on, not both", () => {
    const both = "--drawn 4 --vae_config v.json --pretrained_model_name_or_path d";
    expect(() => trainVae(both)).toThrow("is not read where --vae_config begins afresh");
  });
});
