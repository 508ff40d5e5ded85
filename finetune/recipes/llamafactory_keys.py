"""Each key of LLaMA-Factory's training files with its counterpart in a recipe, or what to do instead.

docs/from_llama_factory.md is generated from these tables. The keys are those of its `hparams` (August 2026)
and of its example files.
"""


def _each(why: str, keys: str) -> dict[str, str]:
    return dict.fromkeys(keys.split(), why)


COUNTERPARTS: dict[str, tuple[str, str]] = {
    "model_name_or_path": ("base", ""),
    "stage": (
        "method",
        "sft and pt: `full`, `lora` or `qlora`; dpo: `dpo`, `orpo` or `simpo`; kto: `kto`",
    ),
    "finetuning_type": ("method", "`full` or `lora`; lora on 4 bits is `qlora`"),
    "quantization_bit": ("method: qlora", "4 bits; for preferences `quantize: nf4`"),
    "dataset": ("data", "files of rows in place of names in dataset_info.json; stage pt: `text`"),
    "eval_dataset": ("validation", ""),
    "val_size": ("validation", "a part of the rows, not a number of them"),
    "template": ("template", "left out: the base's own chat template, as the engine renders it"),
    "cutoff_len": (
        "max_length",
        "a longer row is left out or windowed, never cut at its answer",
    ),
    "mask_history": ("learn: last", ""),
    "packing": ("packing", "rows in one sequence never see each other"),
    "neat_packing": ("packing", "the same here"),
    "learning_rate": ("learning_rate", ""),
    "num_train_epochs": ("epochs", "whole numbers"),
    "max_steps": ("max_steps", ""),
    "per_device_train_batch_size": ("batch_size", ""),
    "gradient_accumulation_steps": ("gradient_accumulation", ""),
    "lr_scheduler_type": ("schedule", "linear, cosine, constant_with_warmup"),
    "warmup_ratio": ("warmup", ""),
    "weight_decay": ("weight_decay", ""),
    "max_grad_norm": ("max_grad_norm", ""),
    "seed": ("seed", ""),
    "neftune_noise_alpha": ("neftune", ""),
    "enable_liger_kernel": ("liger", "the loss alone, no layers; preferences never hold all logits anyway"),
    "disable_gradient_checkpointing": ("gradient_checkpointing", "the other way round"),
    "lora_rank": ("lora.rank", ""),
    "lora_alpha": ("lora.alpha", "left out there: twice the rank"),
    "lora_dropout": ("lora.dropout", ""),
    "lora_target": ("lora.targets", "`all` is `all-linear`"),
    "use_rslora": ("lora.rslora", ""),
    "use_dora": ("lora.dora", ""),
    "loraplus_lr_ratio": ("lora.plus", ""),
    "pref_beta": ("dpo.beta", "also `kto.beta`, `orpo.beta`, `simpo.beta`"),
    "pref_loss": ("dpo.loss_type", "orpo and simpo are methods of their own"),
    "pref_ftx": (
        "dpo.loss_weights",
        "`[1, pref_ftx]` with `loss_type: [sigmoid, sft]`; `simpo.sft`; none in kto and orpo",
    ),
    "dpo_label_smoothing": ("dpo.label_smoothing", ""),
    "ld_alpha": ("dpo.ld_alpha", ""),
    "simpo_gamma": ("simpo.gamma", ""),
    "kto_chosen_weight": ("kto.desirable_weight", "left out: both kinds count the same in sum"),
    "kto_rejected_weight": ("kto.undesirable_weight", ""),
    "early_stopping_steps": ("early_stopping", "evaluations without a better validation loss"),
    "save_steps": ("checkpoint_every", "validation runs as often"),
    "save_strategy": ("checkpoint_every", "`epoch`; no is `never`"),
    "report_to": ("report_to", "tensorboard, wandb, mlflow"),
    "output_dir": ("name", "its last part; `--output` of `kodolly train` names another directory"),
}
"""LLaMA-Factory's key -> (ours, how it differs)."""
BY_ITSELF: dict[str, str] = {
    **dict.fromkeys(("do_train", "overwrite_cache", "overwrite_output_dir", "plot_loss"), "not needed"),
    **dict.fromkeys(
        ("ddp_timeout", "dataloader_num_workers", "logging_steps", "save_only_model"), "not needed"
    ),
    **_each(
        "not needed",
        """
        low_cpu_mem_usage use_fast_tokenizer print_param_status data_shared_file_system
        ignore_pad_token_for_loss include_effective_tokens_per_second create_new_adapter
        use_reentrant_gc buffer_size""",
    ),
    **_each("the hub's own settings: HF_HOME, HF_TOKEN", "cache_dir hf_hub_token"),
    "gradient_checkpointing": "on there unless `disable_gradient_checkpointing`",
    "gradient_checkpointing_kwargs": "not needed",
    "double_quantization": "always",
    "tokenized_path": "tokens are kept beside the run",
    "lang": "not needed",
    **dict.fromkeys(("preprocessing_num_workers", "preprocessing_batch_size"), "all cores are used"),
    **dict.fromkeys(("bf16", "fp16", "pure_bf16"), "chosen by the device and shown"),
    **dict.fromkeys(("eval_strategy", "eval_steps", "per_device_eval_batch_size"), "with `checkpoint_every`"),
    "dataset_dir": "paths of `data` begin at the recipe's folder",
    "flash_attn": "FlashAttention 2 where it is installed",
    "quantization_method": "bitsandbytes' NF4",
    "resume_from_checkpoint": "a run that was killed goes on when it is started again",
    "export_dir": "`kodolly merge lora ADAPTER DIRECTORY`",
}
"""Keys that need no counterpart -> why."""
MISSING: dict[str, str] = {
    "adapter_name_or_path": "merge the adapter first (`kodolly merge lora`) and take the result as `base`",
    "max_samples": "write `share` beside a file of `data`",
    "warmup_steps": "write `warmup`, a part of the steps",
    "train_on_prompt": "only answers are learnt; plain text is `text`",
    "optim": "AdamW alone",
    "deepspeed": "`accelerate launch` with a configuration (docs/training.md)",
    "fsdp": "`accelerate launch` with a configuration (docs/training.md)",
    "trust_remote_code": "never: code of a checkpoint is not run",
    "streaming": "rows are tokenised once and read from disk",
    "rope_scaling": "not there",
    "use_unsloth": "not there",
    "pissa_init": "not there",
    "additional_target": "not there",
    "use_galore": "not there",
    "use_apollo": "not there",
    "use_badam": "not there",
    "use_llama_pro": "not there",
    "ref_model": "the reference is the base without the adapter",
    "pref_bco_weight": "not there",
    "tool_format": "the base's own chat template writes tools",
    "mix_strategy": "`kodolly data mix`",
    "interleave_probs": "`kodolly data mix`",
    "push_to_hub": "`kodolly merge lora --push OWNER/NAME`, when you mean to",
    "export_hub_model_id": "`kodolly merge lora --push OWNER/NAME`, when you mean to",
    "model_revision": "`hf download --revision` into a directory, and that as `base`",
    "default_system": "write it into the rows (`system`)",
    "enable_thinking": "by row: one without a thought is learnt with the model's switch; `reasoning: empty`",
    "preserve_thinking": "the base's own chat template decides it",
    "new_special_tokens_config": "`new_tokens`",
    "add_tokens": "`new_tokens`",
    "add_special_tokens": "`new_tokens`",
    "resize_vocab": "`new_tokens` does it",
    "train_from_scratch": "`method: pretrain`",
    "eval_on_each_dataset": "`kodolly eval rows` for each file",
    "dataloader_drop_last": "no row is left out",
    "run_name": "`name`",
    **_each(
        "`kodolly eval` measures after the training (docs/evaluation.md)",
        """
        compute_accuracy predict_with_generate do_predict do_eval task task_dir batch_size n_shot
        save_dir download_mode eval_num_beams""",
    ),
    **_each(
        "said when the model is asked, not when it is trained",
        """
        do_sample temperature top_p top_k num_beams max_length max_new_tokens repetition_penalty
        length_penalty skip_special_tokens""",
    ),
    **_each(
        "`kodolly worker` serves with vLLM; its flags go behind `--`",
        """
        infer_backend infer_dtype use_kv_cache offload_folder vllm_maxlen vllm_gpu_util
        vllm_enforce_eager vllm_max_lora_rank vllm_config sglang_maxlen sglang_mem_fraction
        sglang_tp_size sglang_config sglang_lora_backend""",
    ),
    **_each(
        "the merge writes what the base has, shard by shard",
        """
        export_size export_device export_legacy_format""",
    ),
    **_each(
        "`kodolly export` of the merged model",
        """
        export_quantization_bit export_quantization_dataset export_quantization_nsamples
        export_quantization_maxlen""",
    ),
    **_each(
        "not there",
        """
        quantization_type quantization_device_map""",
    ),
    **_each(
        "text alone is trained",
        """
        media_dir image_max_pixels image_min_pixels image_do_pan_and_scan crop_to_patches
        video_max_pixels video_min_pixels video_fps video_maxlen use_audio_in_video audio_sampling_rate""",
    ),
    **_each(
        "the text part alone is tuned; the rest is kept as it is",
        """
        freeze_vision_tower freeze_multi_modal_projector freeze_language_model""",
    ),
    **_each("`adapter_name_or_path` here: merge it first", "adapter_folder"),
    **_each(
        "layers are not frozen; LoRA with `lora.targets` trains some alone",
        """
        freeze_trainable_layers freeze_trainable_modules freeze_extra_modules""",
    ),
    **_each(
        "not there: rewards are not trained on",
        """
        ppo_buffer_size ppo_epochs ppo_score_norm ppo_target ppo_whiten_rewards reward_model
        reward_model_adapters reward_model_quantization_bit reward_model_type""",
    ),
    **_each("the reference is the base without the adapter", "ref_model_adapters ref_model_quantization_bit"),
    **_each(
        "AdamW alone",
        """
        adam_beta1 adam_beta2 adam_epsilon use_adam_mini use_muon galore_target galore_rank
        galore_update_interval galore_scale galore_proj_type galore_layerwise apollo_target apollo_rank
        apollo_update_interval apollo_scale apollo_proj apollo_proj_type apollo_scale_type
        apollo_layerwise apollo_scale_front badam_mode badam_start_block badam_switch_mode
        badam_switch_interval badam_update_ratio badam_mask_mode badam_verbose""",
    ),
    **_each(
        "not there: `report_to` has tensorboard, wandb and mlflow",
        """
        use_swanlab swanlab_project swanlab_workspace swanlab_run_name swanlab_mode swanlab_api_key
        swanlab_logdir swanlab_lark_webhook_url swanlab_lark_secret""",
    ),
    **_each(
        "`accelerate launch` spreads a run (docs/training.md)",
        """
        use_mca use_megatron_bridge use_hyper_parallel hyper_parallel_args hyper_parallel_cp_size
        ray_num_workers ray_init_kwargs master_addr master_port tensor_model_parallel_size
        pipeline_model_parallel_size expert_model_parallel_size context_parallel_size sequence_parallel
        cp_size cp_mode use_distributed_optimizer overlap_param_gather overlap_grad_reduce
        recompute_granularity bias_activation_fusion apply_rope_fusion moe_grouped_gemm
        moe_token_dispatcher_type fsdp_transformer_layer_cls_to_wrap use_packed_sequences""",
    ),
    **_each(
        "not there",
        """
        loraplus_lr_embedding pissa_iter pissa_convert module_dropout oft_rank oft_block_size oft_target
        use_dft_loss use_asft_loss asft_alpha use_eaft_loss eaft_alpha disable_shuffling
        split_special_tokens init_special_tokens shift_attn mixture_of_depths use_unsloth_gc
        moe_aux_loss_coef upcast_layernorm upcast_lmhead_output use_v1_kernels ms_hub_token om_hub_token
        use_kt kt_cpu_activation kt_weight_path kt_non_expert_weight_path kt_expert_checkpoint_path
        kt_use_lora_experts kt_lora_expert_num kt_lora_expert_intermediate_size enable_torch_profiler
        profiler_output_dir profiler_wait_steps profiler_warmup_steps profiler_active_steps
        profiler_repeat profiler_record_shapes profiler_profile_memory profiler_with_stack
        profile_modules fp8 fp8_backend fp8_enable_fsdp_float8_all_gather""",
    ),
}
"""Keys without a counterpart -> what to do instead."""
FORMATS: tuple[tuple[str, str], ...] = (
    ("alpaca (instruction, input, output, history, system)", "`kodolly data convert FILE rows.jsonl`"),
    ("sharegpt (conversations, system, tools)", "`kodolly data convert FILE rows.jsonl`"),
    ("openai (messages)", "`kodolly data convert FILE rows.jsonl`"),
    ("ranking (chosen, rejected)", "`kodolly data convert FILE pairs.jsonl --pairs`"),
    ("kto_tag", "`kodolly data convert FILE rows.jsonl --labels`"),
    ("pre-training text", "a text file in `text`, paragraphs divided by blank lines"),
    ("images, videos, audios", "not there"),
)
